import { describe, expect, test } from '@jest/globals'
import { type ClusterProcess, redisProgram, SteadyLoad } from '@weft/testkit'
import { startCluster } from './cluster.ts'

const suite = redisProgram() === undefined ? describe.skip : describe

suite('a rolling restart', () => {
  test('replaces every process, two of each class, and clients that retry lose nothing and are told no error', async () => {
    await using cluster = await startCluster({ layout: 'split', sync: 2, routers: 2, writers: 2 })
    await using load = await SteadyLoad.start({ urls: cluster.urls, clients: 8, rooms: 4, paceMs: 100 })
    const replace = async (process: ClusterProcess) => {
      const ended = process.exited
      await process.restart()
      expect([process.name, await ended]).toEqual([process.name, 'exit 0'])
      await load.recovery(performance.now())
    }
    for (const process of [...cluster.of('router'), ...cluster.of('sync'), ...cluster.standbys()]) await replace(process)
    const before = cluster.writer()
    await replace(before)
    expect(cluster.writer()).not.toBe(before)
    expect(await load.faults()).toEqual([])
    expect(cluster.errors()).toEqual([])
  }, 120_000)
})
