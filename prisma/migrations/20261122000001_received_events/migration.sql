-- One more than the greatest auth_depth of the event's auth events, 0 without any; NULL where one of theirs is. Counted
-- here, never taken from a PDU: walks along auth events end where states have met, instead of at the room's start.
ALTER TABLE "events" ADD COLUMN "auth_depth" INTEGER;

-- What stored events name as a prev event and this server has not, or has as an outlier only.
CREATE TABLE "event_backward_extremities" (
    "room_nid" BIGINT NOT NULL,
    "event_id" TEXT NOT NULL,
    CONSTRAINT "event_backward_extremities_pkey" PRIMARY KEY ("room_nid", "event_id")
);
-- Redactions that came before what they redact.
CREATE TABLE "early_redactions" (
    "room_nid" BIGINT NOT NULL,
    "redacts" TEXT NOT NULL,
    "event_nid" BIGINT NOT NULL,
    CONSTRAINT "early_redactions_pkey" PRIMARY KEY ("room_nid", "redacts", "event_nid")
);
