export { postgresBinaries, startPostgres, type TestServer } from './postgres.ts'
export { RedisUnavailable, redisProgram, startRedis, type TestRedis } from './redis.ts'
export { BuiltRoom, type EventDraft, type EventPositions, RoomBuilder, type WrittenEvent } from './room-builder.ts'
export { makeTemplate, migrationsDir, type TestDatabase, type TestDatabaseOptions, testDatabase } from './test-database.ts'
