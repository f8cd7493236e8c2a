-- The published rooms, each with what the directory says of it, made from the room's state behind the writes to rooms.
-- stream_id is the last change of the room's current state that it has in it; 0 until it is made.
CREATE TABLE "room_directory" (
    "room_nid" BIGINT NOT NULL,
    "joined_members" INTEGER NOT NULL DEFAULT 0,
    "stream_id" BIGINT NOT NULL DEFAULT 0,
    "refreshed_ts" BIGINT NOT NULL DEFAULT 0,
    "room_type" TEXT,
    "search" TEXT NOT NULL DEFAULT '',
    "entry" TEXT NOT NULL DEFAULT '{}',
    CONSTRAINT "room_directory_pkey" PRIMARY KEY ("room_nid")
) WITH (fillfactor = 70);
CREATE INDEX "room_directory_joined_members_room_nid_idx" ON "room_directory"("joined_members" DESC, "room_nid");
INSERT INTO "room_directory" ("room_nid") SELECT "room_nid" FROM "rooms" WHERE "is_public";
-- A row above says the same, and is read afresh: a release that keeps rooms in memory cannot know.
ALTER TABLE "rooms" DROP COLUMN "is_public";
-- How many aliases somebody has made.
CREATE INDEX "room_aliases_creator_idx" ON "room_aliases"("creator");
