-- A redacted event relates to nothing: its row goes with the redaction, so that counting needs no look at the events. The sender
-- stands beside, so that summing up a thread of thousands reads one index and these rows.
ALTER TABLE "event_relations" ADD COLUMN "sender" TEXT;
DELETE FROM "event_relations" r USING "events" e WHERE e."event_nid" = r."event_nid" AND e."redacted_by" IS NOT NULL;
UPDATE "event_relations" r SET "sender" = e."sender" FROM "events" e WHERE e."event_nid" = r."event_nid";
ALTER TABLE "event_relations" ALTER COLUMN "sender" SET NOT NULL;
ALTER TABLE "event_relations" DROP CONSTRAINT "event_relations_pkey";
ALTER TABLE "event_relations" ADD CONSTRAINT "event_relations_pkey" PRIMARY KEY ("event_nid");
CREATE INDEX "event_relations_relates_to_id_stream_ordering_idx" ON "event_relations"("relates_to_id", "stream_ordering");
