import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type Follower, RetryCounts, redisProgram, retryingSender, SteadyLoad, TestClient, type TestCluster } from '@weft/testkit'
import { startCluster } from './cluster.ts'
import { type Step, steps } from './pipeline-steps.ts'
import { damage } from './wholeness.ts'

const suite = redisProgram() === undefined ? describe.skip : describe

suite('the writer dies', () => {
  let cluster: TestCluster
  let load: SteadyLoad
  let alice: TestClient
  let follower: Follower
  let roomId: string
  const counts = new RetryCounts()
  beforeAll(async () => {
    cluster = await startCluster({ layout: 'split', sync: 2, writers: 2, mortal: true })
    load = await SteadyLoad.start({ urls: cluster.urls, clients: 4, rooms: 2, paceMs: 20 })
    alice = await TestClient.register(retryingSender(cluster.urls, counts), 'alice')
    roomId = await alice.createRoom({ preset: 'public_chat' })
    follower = await cluster.follow(alice)
  }, 120_000)
  afterAll(async () => {
    await load?.stop()
    await cluster?.stop()
    expect(cluster?.errors()).toEqual([])
  })

  test.each(Object.entries(steps) as Array<[Step, string]>)(
    '(%s) %s: nothing acknowledged is lost, nothing half-written, no position skipped, nobody told an error',
    async (step) => {
      for (const writer of cluster.of('writer')) if (!writer.running) await writer.start()
      const writer = cluster.writer()
      const how = writer.exited
      const type = `die.${step}`
      const sent = Promise.all([alice.setState(roomId, type, '', { step }), alice.message(roomId, `in ${step}`, { type })])
      // Of the last step the process cannot know when it has come.
      if (step === 'acknowledged') await sent.then(() => writer.kill('SIGKILL'))
      expect(await how).toBe('SIGKILL')
      const at = performance.now()
      const eventIds = await sent
      await load.recovery(at)
      await cluster.settle()

      const seen = follower.room(roomId)
      await follower.waitFor('both events', () => eventIds.every((eventId) => seen.has(eventId)))
      const ofThisStep = (await alice.history(roomId)).filter((event) => event.type === type)
      expect(ofThisStep.map((event) => event.event_id).sort()).toEqual([...eventIds].sort())
      expect(seen.events.filter((event) => event.type === type).map((event) => event.event_id)).toEqual(
        ofThisStep.map((event) => event.event_id),
      )
      expect(seen.repeated).toEqual([])
      expect(await load.faults()).toEqual([])
      expect(counts.notAbsorbed).toEqual([])
      expect(await damage(cluster.database.db)).toEqual([])
    },
    120_000,
  )
})
