import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { sql } from '@weft/storage'
import { RetryCounts, redisProgram, retryingSender, TestClient, type TestCluster } from '@weft/testkit'
import { startCluster } from './cluster.ts'
import type { Step } from './pipeline-steps.ts'
import { damage } from './wholeness.ts'

const suite = redisProgram() === undefined ? describe.skip : describe
const roomsAfter = sql<{ rooms: number }>(
  't.roomsAfter',
  `SELECT count(*) AS rooms FROM events WHERE type = 'm.room.create' AND json LIKE '%"predecessor"%' AND json LIKE '%' || $1 || '%'`,
)

suite('the writer dies in an upgrade', () => {
  let cluster: TestCluster
  let alice: TestClient
  const counts = new RetryCounts()
  beforeAll(async () => {
    cluster = await startCluster({ layout: 'split', writers: 2, mortal: true })
    alice = await TestClient.register(retryingSender(cluster.urls, counts), 'alice')
  }, 120_000)
  afterAll(async () => {
    await cluster?.stop()
    expect(cluster?.errors()).toEqual([])
  })

  // Of the steps around these, tests/cluster/writer-death.test.ts shows that they are no other for a batch.
  test.each<Step>(['validated', 'inserted', 'sent', 'committed'])(
    '(%s) and the room has one replacement, all of it, or would have none',
    async (step) => {
      for (const writer of cluster.of('writer')) if (!writer.running) await writer.start()
      const how = cluster.writer().exited
      const alias = `#${step}:${cluster.serverName}`
      const room = await alice.createRoom({ room_version: '11', room_alias_name: step, visibility: 'public', name: 'Loom' })
      const { replacement_room: replacement } = await alice.post(`/rooms/${encodeURIComponent(room)}/upgrade`, {
        new_version: '12',
        additional_creators: [`@die.${step}:${cluster.serverName}`],
      })
      expect(await how).toBe('SIGKILL')
      await cluster.settle()
      expect(await cluster.database.db.query(roomsAfter, [room])).toEqual([{ rooms: 1 }])
      const tombstones = (await alice.history(room)).filter((event) => event.type === 'm.room.tombstone')
      expect(tombstones.map((event) => event.content.replacement_room)).toEqual([replacement])
      expect((await alice.get(`/directory/room/${encodeURIComponent(alias)}`)).room_id).toBe(replacement)
      expect(await alice.get(`/directory/list/room/${encodeURIComponent(String(replacement))}`)).toEqual({ visibility: 'public' })
      expect(await alice.get(`/directory/list/room/${encodeURIComponent(room)}`)).toEqual({ visibility: 'private' })
      expect(await alice.state(String(replacement), 'm.room.name')).toEqual({ name: 'Loom' })
      expect(counts.notAbsorbed).toEqual([])
      expect(await damage(cluster.database.db)).toEqual([])
    },
    120_000,
  )
})
