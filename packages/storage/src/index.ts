export * from './account-data.ts'
export * from './account-retention.ts'
export * from './client-events.ts'
export { type Connection, type ConnectionParts, connectionUrl, withDatabase } from './connection.ts'
export { Database, type DatabaseOptions, type StorageLog } from './database.ts'
export { renderDatabaseDoc } from './database-doc.ts'
export { Dedicated } from './dedicated.ts'
export * from './device-inbox.ts'
export * from './devices.ts'
export { binariesIn, binariesOfPackage, majorVersion, type PostgresBinaries } from './embedded/binaries.ts'
export { type EmbeddedLog, type EmbeddedOptions, EmbeddedPostgres } from './embedded/server.ts'
export { watchOver } from './embedded/watchdog.ts'
export type { SqlValue } from './encode.ts'
export {
  CommitOutcomeUnknown,
  ConnectionLost,
  isConnectionError,
  isFenced,
  isInvalidText,
  isUniqueViolation,
  type StatementError,
} from './errors.ts'
export * from './events.ts'
export * from './filters.ts'
export { IdBlocks } from './id-blocks.ts'
export * from './memberships.ts'
export { storageMetrics } from './metrics.ts'
export { isBreaking, type Migration, readMigrations } from './migrations/files.ts'
export { type MigrateOptions, MigrationError, type MigrationStatus, migrate, migrationStatus } from './migrations/migrate.ts'
export { openDatabase } from './open-database.ts'
export { fromPgText, toPgText } from './pg-text.ts'
export * from './profiles.ts'
export * from './receipts.ts'
export * from './registration-tokens.ts'
export * from './request-txn-ids.ts'
export { type RetentionRule, retentionRules, sweepExpired } from './retention.ts'
export * from './rooms.ts'
export { type BoundSql, bind, type Queryable, type Sql, sql, type Tx } from './sql.ts'
export * from './state.ts'
export * from './sync-reads.ts'
export * from './tokens.ts'
export * from './uia-sessions.ts'
export * from './users.ts'
export { RoomView } from './visibility.ts'
