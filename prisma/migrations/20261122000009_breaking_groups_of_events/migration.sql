-- A state event says the state after it itself: the state before it, and the event. Releases before this one look for a row in
-- state_groups.
ALTER TABLE "events" ADD COLUMN "prev_state_group" BIGINT;

-- Read by `weft room inspect` only, which reads all of a room anyway.
DROP INDEX "state_groups_room_nid_idx";
