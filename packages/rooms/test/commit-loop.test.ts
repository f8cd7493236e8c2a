import { expect, test } from '@jest/globals'
import { type BoundSql, CommitOutcomeUnknown } from '@weft/storage'
import { type RigOptions, RoomsRig } from './rig.ts'

const alice = '@alice:weft.test'

/** Two rooms, and a way to send a message to the first whose transaction waits until it is released. */
async function holdingRig(loop: NonNullable<RigOptions['loop']> = {}) {
  let arrived = Promise.withResolvers<void>()
  let released: Promise<void> | undefined
  const rig = await RoomsRig.start({
    commits: (db) => ({
      async commitPipeline(statements: readonly BoundSql[]) {
        arrived.resolve()
        await released
        return await db.commitPipeline(statements)
      },
      endBackend: (unknown) => db.endBackend(unknown),
    }),
    loop,
  })
  const room = await rig.room(alice)
  const other = await rig.room(alice)
  return {
    rig,
    room,
    other,
    async hold() {
      const held = Promise.withResolvers<void>()
      released = held.promise
      arrived = Promise.withResolvers()
      const underWay = rig.text(alice, room, 'under way')
      await arrived.promise
      return { underWay, release: held.resolve }
    },
  }
}

test('a loop that is closed refuses what waits and what comes, and what is under way is committed', async () => {
  const { rig, room, other, hold } = await holdingRig()
  const { underWay, release } = await hold()
  const waiting = rig.text(alice, other, 'waiting').catch((error: unknown) => error)
  while (rig.loop.depth === 0) await new Promise((resolve) => setImmediate(resolve))
  const reason = new Error('no longer the writer')
  rig.loop.close(reason)
  expect(await waiting).toBe(reason)
  await expect(rig.text(alice, other, 'late')).rejects.toBe(reason)
  release()
  await underWay
  await rig.loop.drained()
  expect(await rig.bodies(alice, room)).toEqual(['under way'])
  await rig.stop()
})

test('what does not fit into the queue is told to come back, and no transaction takes more events than it may', async () => {
  const batches: number[] = []
  const { rig, other, hold } = await holdingRig({
    maxBatchEvents: 3,
    maxPending: 5,
    metrics: { batch: ({ events }) => batches.push(events), waited: () => {} },
  })
  batches.length = 0
  const { underWay, release } = await hold()
  const waiting = ['1', '2', '3', '4', '5'].map((body) => rig.text(alice, other, body))
  while (rig.loop.depth < waiting.length) await new Promise((resolve) => setImmediate(resolve))
  await expect(rig.text(alice, other, 'too many')).rejects.toMatchObject({ status: 503, headers: { 'Retry-After': '2' } })
  release()
  await Promise.all([underWay, ...waiting])
  await rig.loop.drained()
  expect(batches).toEqual([1, 3, 2])
  expect((await rig.bodies(alice, other)).toSorted()).toEqual(['1', '2', '3', '4', '5'])
  await rig.stop()
})

test('a commit of which nobody can say what became of it ends the loop: no request is left without its answer', async () => {
  let broken = false
  const cause = new Error('PostgreSQL answers nonsense')
  const unsettled: unknown[] = []
  const rig = await RoomsRig.start({
    commits: (db) => ({
      async commitPipeline(statements: readonly BoundSql[]) {
        const rows = await db.commitPipeline(statements)
        if (broken) throw new CommitOutcomeUnknown(0, cause)
        return rows
      },
      async endBackend() {
        throw cause
      },
    }),
    onUnsettled: (error) => unsettled.push(error),
  })
  const room = await rig.room(alice)
  broken = true
  await expect(rig.text(alice, room, 'unknown', 'once')).rejects.toBeInstanceOf(CommitOutcomeUnknown)
  expect(unsettled).toEqual([cause])
  await expect(rig.text(alice, room, 'after it')).rejects.toBeInstanceOf(CommitOutcomeUnknown)
  await rig.loop.drained()
  // The next writer finds it, by its transaction id too.
  const next = rig.restarted()
  await next.text(alice, room, 'unknown', 'once')
  expect(await next.bodies(alice, room)).toEqual(['unknown'])
  await next.stop()
})
