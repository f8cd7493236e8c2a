import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory, ColumnTypeEnum } from '@prisma/driver-adapter-utils'
import { SchemaEngine } from '@prisma/schema-engine-wasm'
import { migrationsDir, testDatabase } from '../../testkit/src/test-database.ts'

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

/** The SQL that Prisma's own engine would need to bring a migrated database to a schema; nothing where they agree. */
async function drift(schema: string): Promise<string> {
  await using database = await testDatabase()
  const adapter = new PrismaPg({ ...database.connection })
  const probe = await adapter.connect()
  readCatalogueChars(probe)
  await probe.dispose()
  const files = [{ path: 'schema.prisma', content: schema }]
  const engine = await SchemaEngine.new(
    { datamodels: files.map((file) => [file.path, file.content]) },
    () => {},
    bindMigrationAwareSqlAdapterFactory(adapter),
  )
  try {
    const result = await engine.diff({
      from: { tag: 'schemaDatasource', files, configDir: prismaDir },
      to: { tag: 'schemaDatamodel', files },
      script: true,
      exitCode: true,
      filters: { externalTables: [], externalEnums: [] },
    })
    return result.exitCode === 0 ? '' : (result.stdout ?? '')
  } finally {
    engine.free()
  }
}

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
