import { cp, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { migrationsDir } from '@weft/testkit'
import { migrate, sql } from '../src/index.ts'
import { onEveryPostgres } from './servers.ts'

const insert = sql(
  't.event',
  `INSERT INTO events (event_nid, room_nid, stream_ordering, depth, origin_server_ts, event_id, type, sender, json, envelope)
   VALUES ($1::bigint, 1, $1::bigint, 1, 1, '$' || $1::bigint, 'm.room.message', '@a:b', $2, '{}')`,
)
const relations = sql(
  't.relations',
  'SELECT relates_to_id, stream_ordering, event_nid, room_nid, relation_type FROM event_relations ORDER BY 2',
)

onEveryPostgres((server) => {
  test('events that were here before relations had a table have their relations in it', async () => {
    const older = await mkdtemp(join(tmpdir(), 'weft-older-'))
    try {
      for (const name of await readdir(migrationsDir)) {
        if (/^\d/.test(name) && name < '20261122000002') await cp(join(migrationsDir, name), join(older, name), { recursive: true })
      }
      const { db } = await server.database({ empty: true })
      await migrate(db, { dir: older })
      const contents = [
        { body: 'plain' },
        { body: 'edit', 'm.relates_to': { rel_type: 'm.replace', event_id: '$1' } },
        { body: 'm.relates_to of a strange shape', 'm.relates_to': [{ rel_type: 'm.replace' }] },
        { body: 'nul \u0000', 'm.relates_to': { rel_type: 'm.replace', event_id: '$1' } },
        { 'm.relates_to': { rel_type: 'm.thread', event_id: `$${'x'.repeat(300)}` } },
        { 'm.relates_to': { rel_type: 'm.thread', event_id: '$1' } },
      ]
      for (const [i, content] of contents.entries()) await db.query(insert, [i + 1, JSON.stringify({ content })])
      await migrate(db, { dir: migrationsDir })
      expect(await db.query(relations)).toEqual([
        { relates_to_id: '$1', stream_ordering: 2, event_nid: 2, room_nid: 1, relation_type: 'm.replace' },
        { relates_to_id: '$1', stream_ordering: 6, event_nid: 6, room_nid: 1, relation_type: 'm.thread' },
      ])
    } finally {
      await rm(older, { recursive: true })
    }
  })
})
