import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect } from '@jest/globals'
import { redisProgram, TestCluster, type TestClusterOptions } from '@weft/testkit'

const main = join(import.meta.dirname, '..', '..', 'apps', 'weft', 'src', 'main.ts')
const tortured = join(import.meta.dirname, 'tortured.ts')
const mortalWriter = join(import.meta.dirname, 'mortal-writer.ts')
const impatientRouter = join(import.meta.dirname, 'impatient-router.ts')

/** Six processes start in ten seconds on two idle cores, and in a minute beside other work. */
const START_MS = 200_000

export interface ClusterOptions extends Omit<TestClusterOptions, 'program'> {
  /** Followers get announcements late, twice, out of order or not at all. */
  readonly torture?: boolean
  /** Writers die where an event tells them to (mortal-writer.ts). */
  readonly mortal?: boolean
  /** Routers give a client two seconds to send a request (impatient-router.ts). */
  readonly impatient?: boolean
}

/** A cluster of the real programs: `weft start`, or `weft run CLASS` for each process. */
export function startCluster(options: ClusterOptions): Promise<TestCluster> {
  return TestCluster.start({
    ...options,
    program(of, configPath) {
      if (options.torture && (of === 'single' || of === 'sync')) return [tortured, of, configPath]
      if (options.mortal && of === 'writer') return [mortalWriter, configPath]
      if (options.impatient && of === 'router') return [impatientRouter, configPath]
      return of === 'single' ? [main, 'start', '--config', configPath] : [main, 'run', of, '--config', configPath]
    },
  })
}

/** A suite over one cluster that its tests share; counted as skipped where `split` finds no Redis. At its end no process has logged an error. */
export function clusterSuite(name: string, options: ClusterOptions, tests: (cluster: () => TestCluster) => void): void {
  const possible = options.layout === 'single' || redisProgram() !== undefined
  const suite = possible ? describe : describe.skip
  suite(name, () => {
    let cluster: TestCluster | undefined
    beforeAll(async () => {
      cluster = await startCluster(options)
    }, START_MS)
    afterAll(async () => {
      await cluster?.stop()
      expect(cluster?.errors() ?? []).toEqual([])
    }, START_MS)
    tests(() => {
      if (cluster === undefined) throw new Error('the cluster did not start')
      return cluster
    })
  })
}
