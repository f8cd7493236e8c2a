import { beforeAll, expect, test } from '@jest/globals'
import { type Database, IdBlocks } from '../src/index.ts'
import { onEveryPostgres } from './servers.ts'

onEveryPostgres((server) => {
  let db: Database
  beforeAll(async () => {
    db = (await server.database()).db
  })

  test('ids are ascending and never given twice, by any number of holders at once', async () => {
    const holders = [new IdBlocks(db, 'state_key_nid_seq', 100), new IdBlocks(db, 'state_key_nid_seq', 100)]
    const given = await Promise.all(Array.from({ length: 400 }, (_, i) => holders[i % 2]!.take((i % 7) + 1)))
    for (const ids of given) expect(ids).toEqual([...ids].sort((a, b) => a - b))
    expect(new Set(given.flat()).size).toBe(given.flat().length)
    expect(given.flat()).toHaveLength(given.reduce((sum, ids) => sum + ids.length, 0))
  })

  test('more than a block at once is taken from several', async () => {
    const ids = await new IdBlocks(db, 'room_nid_seq', 10).take(35)
    expect(new Set(ids).size).toBe(35)
  })

  test('what is at hand is given without asking, and the next block is fetched before it is needed', async () => {
    const blocks = new IdBlocks(db, 'event_nid_seq', 1000)
    expect(blocks.tryTake(1)).toBeUndefined()
    await blocks.fill()
    const asked = db.statementCount
    for (let i = 0; i < 5; i++) expect(blocks.tryTake(100)).toHaveLength(100)
    expect(db.statementCount).toBe(asked)
    expect(blocks.tryTake(100)).toHaveLength(100)
    expect(await blocks.take(900)).toHaveLength(900)
    expect(db.statementCount).toBe(asked + 1)
  })
})
