import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { makeTemplate, redisProgram, SteadyLoad, startPostgres, type TestCluster, type TestServer, testDatabase } from '@weft/testkit'
import { startCluster } from './cluster.ts'
import { damage } from './wholeness.ts'

const layouts = [{ layout: 'single' }, { layout: 'split', sync: 2, writers: 2 }] as const

for (const options of layouts) {
  const suite = options.layout === 'split' && redisProgram() === undefined ? describe.skip : describe
  suite(`PostgreSQL dies under layout ${options.layout}`, () => {
    let server: TestServer
    let cluster: TestCluster
    let load: SteadyLoad
    beforeAll(async () => {
      server = await startPostgres({ major: 18 })
      await makeTemplate(server.connection)
      cluster = await startCluster({ ...options, database: await testDatabase({ server: server.connection }) })
      load = await SteadyLoad.start({ urls: cluster.urls, clients: 4, rooms: 2, paceMs: 20, maxTries: Number.POSITIVE_INFINITY })
    }, 120_000)
    afterAll(async () => {
      await load?.stop()
      await cluster?.stop()
      await server?.stop()
      expect(cluster?.errors()).toEqual([])
    })

    test.each([1, 2])(
      'outage %i: no process ends, nothing acknowledged is lost, and all goes on when it is back',
      async (outage) => {
        const pids = cluster.processes.map((one) => one.pid)
        const writer = cluster.writer()
        const before = writer.lines.length
        const acknowledged = load.acknowledged
        await load.recovery(performance.now())
        await server.kill()
        await writer.logged(
          (line) => line.msg === 'this process is the writer no more: it stands by' && writer.lines.indexOf(line) >= before,
        )
        // Nobody is told anything but to come back; a router holds a request for 10 s first.
        if (outage === 1) {
          const refused = await fetch(`${cluster.urls[0]}/_matrix/client/v3/login`, { method: 'POST', body: '{}' })
          expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, expect.stringMatching(/^\d+$/)])
        }
        await server.restart()
        await load.recovery(performance.now())
        expect(await load.faults()).toEqual([])
        expect(load.acknowledged).toBeGreaterThan(acknowledged)
        expect(cluster.processes.map((one) => one.pid)).toEqual(pids)
        expect(await damage(cluster.database.db)).toEqual([])
      },
      180_000,
    )
  })
}
