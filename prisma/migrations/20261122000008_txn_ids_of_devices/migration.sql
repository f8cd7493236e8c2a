-- What a device called its event, for a follower that reads the event from the table.
ALTER TABLE "event_txn_ids" ADD COLUMN "device_id" TEXT, ADD COLUMN "txn_id" TEXT;
CREATE INDEX "event_txn_ids_event_nid_idx" ON "event_txn_ids"("event_nid");
