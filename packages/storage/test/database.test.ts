import { beforeAll, expect, test } from '@jest/globals'
import { Metrics } from '@weft/kernel'
import { bind, Database, isConnectionError, isUniqueViolation, sql } from '../src/index.ts'
import { onEveryPostgres } from './servers.ts'

const insert = sql<{ name: string }>('t.insert', 'INSERT INTO users (name, creation_ts) VALUES ($1, $2) RETURNING name')
const names = sql<{ name: string }>('t.names', 'SELECT name FROM users ORDER BY name')
const all = async (db: Database) => (await db.query(names)).map((row) => row.name)

onEveryPostgres((server) => {
  let db: Database
  beforeAll(async () => {
    db = (await server.database({ poolSize: 2 })).db
  })

  test('values and columns keep their types', async () => {
    const [row] = await db.query(
      sql(
        't.types',
        'SELECT $1::bigint AS big, $2::bytea AS bytes, $3::text[] AS texts, $4::bytea[] AS many, $5::bool AS yes, $6::text AS no',
      ),
      [2 ** 53 - 1, Buffer.from([0, 255]), ['a"b\\c', null, '{,}', 'NULL', ''], [Buffer.from('x')], true, undefined],
    )
    expect(row).toEqual({
      big: 2 ** 53 - 1,
      bytes: Buffer.from([0, 255]),
      texts: ['a"b\\c', null, '{,}', 'NULL', ''],
      many: [Buffer.from('x')],
      yes: true,
      no: null,
    })
    const [arrays] = await db.query(sql('t.arrays', 'SELECT $1::bigint[] AS big, $2::bool[] AS flags'), [
      [1, null, -3],
      [true, false],
    ])
    expect(arrays).toEqual({ big: [1, null, -3], flags: [true, false] })
    await expect(db.query(sql('t.date', 'SELECT $1::timestamptz'), [new Date()])).rejects.toThrow(TypeError)
  })

  test('a pipeline is one transaction and answers every statement', async () => {
    const before = db.statementCount
    expect(await db.commitPipeline([bind(insert, ['@a:t', 1]), bind(insert, ['@b:t', 2]), bind(names)])).toEqual([
      [{ name: '@a:t' }],
      [{ name: '@b:t' }],
      [{ name: '@a:t' }, { name: '@b:t' }],
    ])
    expect(db.statementCount - before).toBe(3)
    expect(await db.commitPipeline([])).toEqual([])
  })

  test('a failed statement fails the rest of its pipeline, writes nothing, and leaves the connection usable', async () => {
    const later = sql('t.later', 'SELECT 1 AS one')
    const failed = db.commitPipeline([bind(insert, ['@c:t', 1]), bind(insert, ['@a:t', 1]), bind(insert, ['@d:t', 1]), bind(later)])
    const err = await failed.then(
      () => undefined,
      (reason: unknown) => reason,
    )
    expect(isUniqueViolation(err)).toBe(true)
    expect(isUniqueViolation(err, 'users_pkey')).toBe(true)
    expect(isUniqueViolation(err, 'other')).toBe(false)
    expect(err).toMatchObject({ statement: 't.insert' })
    expect(await all(db)).toEqual(['@a:t', '@b:t'])
    // Its Parse was skipped: it must be sent again.
    expect(await db.query(later)).toEqual([{ one: 1 }])
  })

  test.each([
    ['is read-only', '25006', 'SET default_transaction_read_only = on'],
    ['has a full disk', '53100', undefined],
    ['has no memory left', '53200', undefined],
  ])('a server that %s cannot serve now: the connection is given up, and the log says why', async (_, code, setting) => {
    const warnings: object[] = []
    const log = { warn: (fields: object, message: string) => warnings.push({ ...fields, message }) }
    const { connection } = db
    const one = new Database({ connection, applicationName: 'refused', poolSize: 1, log })
    const refuse = sql(`t.refuse${code}`, `DO $$ BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '${code}'; END $$`)
    const write = setting === undefined ? bind(refuse) : bind(insert, ['@refused:t', 1])
    const backend = async () => (await one.query(sql<{ pid: number }>('t.pid', 'SELECT pg_backend_pid() AS pid')))[0]?.pid
    const before = await backend()
    if (setting !== undefined) await one.query(sql('t.setting', setting))
    expect(await one.commitPipeline([write]).then(() => undefined, isConnectionError)).toBe(true)
    // After a failover a new connection may lead to the server that writes.
    expect(await backend()).not.toBe(before)
    if (setting !== undefined) await one.query(sql('t.setting', setting))
    const within = one.transaction(async (tx) => {
      await tx.query(write.sql, write.values)
    })
    expect(await within.then(() => undefined, isConnectionError)).toBe(true)
    await one.close()
    expect(warnings[0]).toEqual({ err: expect.stringMatching(/read-only|full/), message: 'PostgreSQL refuses writes' })
    expect(await all(db)).not.toContain('@refused:t')
  })

  test('a statement that does not parse fails its pipeline, and so it does the second time', async () => {
    const broken = sql('t.broken', 'SELECT nonsense FROM nowhere')
    for (let i = 0; i < 2; i++) {
      await expect(db.commitPipeline([bind(insert, ['@e:t', 1]), bind(broken), bind(broken)])).rejects.toThrow('nowhere')
      await expect(db.query(broken)).rejects.toThrow('nowhere')
    }
    expect(await all(db)).toEqual(['@a:t', '@b:t'])
  })

  test('two texts under one name are refused before anything is sent', async () => {
    await db.query(sql('t.same', 'SELECT 1 AS one'))
    const other = sql('t.same', 'SELECT 2 AS two')
    await expect(db.commitPipeline([bind(sql('t.fresh', 'SELECT 1')), bind(sql('t.fresh', 'SELECT 2'))])).rejects.toThrow('t.fresh')
    await expect(Promise.all([db.query(other), db.query(other)])).rejects.toThrow('t.same')
    expect(() => sql('x'.repeat(64), 'SELECT 1')).toThrow('63')
  })

  test('a transaction commits with what it wrote, and its BEGIN travels along', async () => {
    const result = await db.transaction(async (tx) => {
      await Promise.all([tx.query(insert, ['@f:t', 1]), tx.query(insert, ['@g:t', 1])])
      expect(await tx.pipeline([bind(insert, ['@h:t', 1]), bind(names)])).toHaveLength(2)
      return await tx.execute(sql('t.touch', 'UPDATE users SET creation_ts = 7 WHERE name LIKE $1'), ['@%:t'])
    })
    expect(result).toBe(5)
    expect(await all(db)).toEqual(['@a:t', '@b:t', '@f:t', '@g:t', '@h:t'])
    expect(await db.transaction(async () => 'nothing')).toBe('nothing')
  })

  test('a transaction that throws writes nothing', async () => {
    const refused = db.transaction(async (tx) => {
      await tx.query(insert, ['@i:t', 1])
      throw new Error('refused')
    })
    await expect(refused).rejects.toThrow('refused')
    const piped = db.transaction(async (tx) => {
      await tx.pipeline([bind(insert, ['@i:t', 1]), bind(insert, ['@a:t', 1]), bind(insert, ['@j:t', 1])])
    })
    await expect(piped).rejects.toThrow('duplicate key')
    expect(await all(db)).not.toContain('@i:t')
  })

  test('a swallowed failure does not pass for a commit', async () => {
    const swallowed = db.transaction(async (tx) => {
      await tx.query(insert, ['@k:t', 1])
      await tx.query(insert, ['@a:t', 1]).catch(() => [])
    })
    await expect(swallowed).rejects.toThrow('rolled back')
    expect(await all(db)).not.toContain('@k:t')
  })

  test('a transaction is over when its function is', async () => {
    let kept: { query(statement: typeof names): Promise<unknown> } | undefined
    await db.transaction(async (tx) => {
      kept = tx
    })
    await expect(kept!.query(names)).rejects.toThrow('over')
  })

  test('more work than connections waits its turn', async () => {
    const counts = await Promise.all(Array.from({ length: 50 }, () => db.transaction(async (tx) => (await tx.query(names)).length)))
    expect(new Set(counts)).toEqual(new Set([5]))
  })

  test('statements survive a migration that changes the columns under them', async () => {
    await db.execute(sql('t.table', 'CREATE TABLE moving (id bigint, value integer)'))
    await db.execute(sql('t.row', 'INSERT INTO moving VALUES (1, 2)'))
    const read = sql<{ value: unknown }>('t.moving', 'SELECT value FROM moving')
    const onBoth = () => Promise.all([db.query(read), db.query(read), db.query(read)])
    await onBoth()
    await db.execute(sql('t.text', 'ALTER TABLE moving ALTER COLUMN value TYPE text'))
    expect(await onBoth()).toEqual(Array(3).fill([{ value: '2' }]))
    await db.execute(sql('t.int', 'ALTER TABLE moving ALTER COLUMN value TYPE bigint USING value::bigint'))
    expect(await db.transaction(async (tx) => await tx.query(read))).toEqual([{ value: 2 }])
    expect(await db.commitPipeline([bind(read), bind(read)])).toEqual([[{ value: 2 }], [{ value: 2 }]])
  })

  test('pipelines are committed on one connection, which nothing else takes, and on others while it is at work', async () => {
    const several = new Database({ connection: db.connection, applicationName: 'several', poolSize: 3 })
    const pid = sql<{ pid: number }>('t.pid', 'SELECT pg_backend_pid() AS pid')
    const committing = async () => (await several.commitPipeline([bind(pid)]))[0]?.[0]?.pid
    const first = await committing()
    const others = await Promise.all([several.query(pid), several.query(pid)])
    expect(others.map(([row]) => row?.pid)).not.toContain(first)
    expect(await committing()).toBe(first)
    const [one, two] = await Promise.all([committing(), committing()])
    expect(one).toBe(first)
    expect(two).not.toBe(first)
    const kept = await committing()
    await db.query(sql('t.end', 'SELECT pg_terminate_backend($1, 5000)'), [kept])
    // Whether the loss was heard of before depends on the moment.
    expect(await committing().catch(committing)).not.toBe(kept)
    expect(await Promise.all([several.query(pid), several.query(pid)])).toHaveLength(2)
    await several.close()
  })

  test('what was sent shows in the metrics', async () => {
    const metrics = new Metrics()
    const counted = new Database({ connection: db.connection, applicationName: 'counted', metrics })
    await counted.query(names)
    await counted.commitPipeline([bind(names), bind(names)])
    await counted.transaction(async (tx) => await tx.query(names))
    expect(await metrics.value('weft_db_statements_total', { statement: 't.names' })).toBe(4)
    expect(await metrics.value('weft_db_round_trip_seconds')).toBe(4)
    expect(await metrics.value('weft_db_seconds_total', { statement: 'pipeline' })).toBeGreaterThan(0)
    // One for statements, one for commits.
    expect(await metrics.value('weft_db_connections', { state: 'idle' })).toBe(2)
    await counted.close()
  })

  test('what PostgreSQL refuses says which statement of a pipeline it refused, and none of it is written', async () => {
    const refusing = sql('t.refusing', 'SELECT 1 / (SELECT count(*) FROM users WHERE name = $1)')
    const refused = db.commitPipeline([bind(insert, ['@z:t', 1]), bind(refusing, ['@nobody:t'])])
    await expect(refused).rejects.toMatchObject({ code: '22012', statement: 't.refusing' })
    expect(await all(db)).not.toContain('@z:t')
  })
})
