import { readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory, ColumnTypeEnum } from '@prisma/driver-adapter-utils'
import { SchemaEngine } from '@prisma/schema-engine-wasm'
import { migrationsDir, testDatabase } from '@weft/testkit'

const prismaDir = join(migrationsDir, '..')

interface EngineConnection {
  performIO(query: unknown): Promise<{ fields: { dataTypeID: number }[] }>
  queryRaw(query: unknown): Promise<{ columnTypes: number[] }>
}

/** Lets adapter-pg read the catalogue's type "char" (prisma/orm issue 27403), by passing it on as a character column. */
function readCatalogueChars(connection: object): void {
  const proto = Object.getPrototypeOf(Object.getPrototypeOf(connection)) as EngineConnection
  const { performIO, queryRaw } = proto
  proto.queryRaw = async function (query) {
    const chars: number[] = []
    const reading = Object.create(this, {
      performIO: {
        value: async (inner: unknown) => {
          const result = await performIO.call(this, inner)
          for (const [i, field] of result.fields.entries()) {
            if (field.dataTypeID !== 18) continue
            field.dataTypeID = 25
            chars.push(i)
          }
          return result
        },
      },
    })
    const rows = await queryRaw.call(reading, query)
    for (const i of chars) rows.columnTypes[i] = ColumnTypeEnum.Character
    return rows
  }
}

/** Runs Prisma's own engine on a database that our runner has migrated. */
async function withEngine<T>(schema: string, fn: (engine: SchemaEngine) => Promise<T>): Promise<T> {
  await using database = await testDatabase()
  const adapter = new PrismaPg({ ...database.connection })
  const connect = adapter.connect.bind(adapter)
  const connections: Awaited<ReturnType<typeof connect>>[] = []
  adapter.connect = async () => {
    const connection = await connect()
    connections.push(connection)
    return connection
  }
  readCatalogueChars(await adapter.connect())
  const engine = await SchemaEngine.new({ datamodels: [['schema.prisma', schema]] }, () => {}, bindMigrationAwareSqlAdapterFactory(adapter))
  try {
    return await fn(engine)
  } finally {
    engine.free()
    for (const connection of connections) await connection.dispose()
  }
}

const filters = { externalTables: [], externalEnums: [] }

/** The SQL that would bring a migrated database to a schema; nothing where they agree. */
async function drift(schema: string): Promise<string> {
  return await withEngine(schema, async (engine) => {
    const files = [{ path: 'schema.prisma', content: schema }]
    const result = await engine.diff({
      from: { tag: 'schemaDatasource', files, configDir: prismaDir },
      to: { tag: 'schemaDatamodel', files },
      script: true,
      exitCode: true,
      filters,
    })
    return result.exitCode === 0 ? '' : (result.stdout ?? '')
  })
}

test('Prisma finds the history that our runner wrote in order, and nothing left to apply', async () => {
  const names = (await readdir(migrationsDir, { withFileTypes: true })).filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  const migrationsList = {
    baseDir: migrationsDir,
    lockfile: { path: 'migration_lock.toml', content: readFileSync(join(migrationsDir, 'migration_lock.toml'), 'utf8') },
    shadowDbInitScript: '',
    migrationDirectories: names.sort().map((name) => ({
      path: name,
      migrationFile: {
        path: 'migration.sql',
        content: { tag: 'ok' as const, value: readFileSync(join(migrationsDir, name, 'migration.sql'), 'utf8') },
      },
    })),
  }
  const schema = readFileSync(join(prismaDir, 'schema.prisma'), 'utf8')
  const diagnosis = await withEngine(schema, (engine) =>
    engine.diagnoseMigrationHistory({ migrationsList, optInToShadowDatabase: false, filters }),
  )
  // history would say databaseIsBehind, and by which migrations.
  expect(diagnosis).toMatchObject({ editedMigrationNames: [], failedMigrationNames: [], hasMigrationsTable: true, history: null })
})

test('schema.prisma says what the migrations make', async () => {
  const schema = readFileSync(join(prismaDir, 'schema.prisma'), 'utf8')
  expect(await drift(schema)).toBe('')
})

test('a column that no migration makes is found', async () => {
  const schema = readFileSync(join(prismaDir, 'schema.prisma'), 'utf8').replace(
    'creation_ts   BigInt\n',
    'creation_ts   BigInt\n  shoe_size Int?\n',
  )
  expect(await drift(schema)).toContain('ADD COLUMN     "shoe_size" INTEGER')
})
