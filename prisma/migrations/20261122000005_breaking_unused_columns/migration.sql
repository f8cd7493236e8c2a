-- A use of a registration token is taken in the transaction that makes the account: there is nothing pending, and nothing to leak.
-- Releases before this one read the column.
ALTER TABLE "registration_tokens" DROP COLUMN "pending";
-- What a later stage needs of an earlier one stands in "completed".
ALTER TABLE "ui_auth_sessions" DROP COLUMN "params";
