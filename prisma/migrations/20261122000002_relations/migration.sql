-- What an event of a timeline says of another one in m.relates_to. Written with the event, only for events that say something;
-- stream_ordering is the event's own, so that a parent's children are read in the order of the timeline from one index.
CREATE TABLE "event_relations" (
    "relates_to_id" TEXT NOT NULL,
    "stream_ordering" BIGINT NOT NULL,
    "event_nid" BIGINT NOT NULL,
    "room_nid" BIGINT NOT NULL,
    "relation_type" TEXT NOT NULL,
    CONSTRAINT "event_relations_pkey" PRIMARY KEY ("relates_to_id", "stream_ordering")
);
-- The threads of a room, by their latest event.
CREATE INDEX "event_relations_room_nid_relation_type_stream_ordering_idx" ON "event_relations"("room_nid", "relation_type", "stream_ordering");

-- Relations of the events that are here already. An event whose JSON PostgreSQL cannot read (\u0000) is passed over.
CREATE FUNCTION "weft_relation"("text" TEXT, OUT "rel_type" TEXT, OUT "event_id" TEXT) AS $$
DECLARE
    "relates" JSONB;
BEGIN
    "relates" := "text"::jsonb -> 'content' -> 'm.relates_to';
    IF jsonb_typeof("relates" -> 'rel_type') = 'string' AND jsonb_typeof("relates" -> 'event_id') = 'string' THEN
        "rel_type" := "relates" ->> 'rel_type';
        "event_id" := "relates" ->> 'event_id';
    END IF;
EXCEPTION WHEN others THEN
    NULL;
END $$ LANGUAGE plpgsql;
INSERT INTO "event_relations" ("relates_to_id", "stream_ordering", "event_nid", "room_nid", "relation_type")
SELECT r."event_id", e."stream_ordering", e."event_nid", e."room_nid", r."rel_type"
FROM "events" e CROSS JOIN LATERAL "weft_relation"(e."json") r
WHERE e."stream_ordering" IS NOT NULL AND e."json" LIKE '%"m.relates_to"%' AND r."event_id" LIKE '$%'
  AND octet_length(r."event_id") <= 255 AND octet_length(r."rel_type") <= 255;
DROP FUNCTION "weft_relation";
