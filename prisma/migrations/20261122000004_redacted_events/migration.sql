-- Redacted events whose text is still to be overwritten. Written with the redaction; a row goes when the text is gone.
CREATE TABLE "redacted_events" (
    "event_nid" BIGINT NOT NULL,
    "redacted_ts" BIGINT NOT NULL,
    CONSTRAINT "redacted_events_pkey" PRIMARY KEY ("event_nid")
);
CREATE INDEX "redacted_events_redacted_ts_idx" ON "redacted_events"("redacted_ts");
INSERT INTO "redacted_events" ("event_nid", "redacted_ts")
SELECT "event_nid", (extract(epoch FROM now()) * 1000)::bigint FROM "events" WHERE "redacted_by" IS NOT NULL;
