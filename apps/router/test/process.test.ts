import { Agent } from 'node:http'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { configFrom, type RunningProcess, silentLogger, startProcess } from '@weft/kernel'
import { MemoryDiscovery, type Presence } from '@weft/replication'
import { composeRouter } from '../src/assemble.ts'
import { Bench, json, registry, until, type Worker } from './harness.ts'

let bench: Bench
let discovery: MemoryDiscovery
let running: RunningProcess[]
beforeEach(() => {
  bench = new Bench()
  discovery = new MemoryDiscovery()
  running = []
})
afterEach(async () => {
  for (const process of running) await process.stop()
  await bench.close()
})

function announce(worker: Worker): Presence {
  return discovery.announce({ instance: worker.id, class: worker.class, address: `http://127.0.0.1:${worker.port}`, state: worker.state })
}

async function startRouter(shutdownDeadline = '5s'): Promise<{ process: RunningProcess; port: number }> {
  const before = new Set(discovery.list('router').map((one) => one.instance))
  const process = await startProcess({
    class: 'router',
    config: configFrom({
      server_name: 'example.org',
      internal_secret: 'a secret of thirty-two characters',
      listeners: [{ port: 0, bind_addresses: ['127.0.0.1'] }],
      process: { health_port: 0, shutdown_deadline: shutdownDeadline },
    }),
    log: silentLogger,
    compose: async (context) => {
      await composeRouter(context, registry, discovery)
    },
  })
  running.push(process)
  const announced = discovery.list('router').find((one) => !before.has(one.instance))
  return { process, port: Number(new URL(announced?.address ?? '').port) }
}

test('a composed router is ready, serves what discovery announces, counts it, and shows nothing of itself to clients', async () => {
  const sync = await bench.worker('sync-1', 'sync')
  const presence = announce(sync)
  const { process, port } = await startRouter()
  expect(process.lifecycle.ready).toBe(true)
  expect(json(await bench.call('GET', '/_matrix/client/versions', { port }))).toEqual({ by: 'sync-1' })
  expect(sync.seen[0]?.headers['x-weft-internal-secret']).toBe('a secret of thirty-two characters')
  for (const path of ['/health', '/ready', '/metrics']) expect((await bench.call('GET', path, { port })).status).toBe(404)
  const { metrics } = process.context
  expect(await metrics.value('weft_router_requests_total', { class: 'sync', endpoint: 't.versions', status: 200 })).toBe(1)
  expect(await metrics.value('weft_router_own_answers_total', { status: 404 })).toBe(3)
  expect(await metrics.value('weft_router_instances', { class: 'sync', state: 'ready' })).toBe(1)
  presence.update({ state: 'draining' })
  expect(await metrics.value('weft_router_instances', { class: 'sync', state: 'draining' })).toBe(1)
})

test('told to stop, it says so to discovery, finishes what is in flight and ends cleanly', async () => {
  let finish: (() => void) | undefined
  const sync = await bench.worker('sync-1', 'sync', (_req, res) => {
    finish = () => res.end('{"late":true}')
  })
  announce(sync)
  const { process, port } = await startRouter()
  const slow = bench.call('GET', '/_matrix/client/v3/rooms/!a:x/state/m.room.topic', { port })
  await until(() => sync.seen.length === 1)
  const stopped = process.stop()
  expect(process.lifecycle.ready).toBe(false)
  await until(() => discovery.list('router')[0]?.state === 'draining')
  finish?.()
  expect(json(await slow)).toEqual({ late: true })
  expect((await stopped).clean).toBe(true)
  expect(discovery.list('router')).toEqual([])
})

test('rolling restart: one router after the other drains, and a client that knows both ports loses nothing', async () => {
  const writer = await bench.worker('writer-1', 'writer')
  announce(writer)
  const ports = [(await startRouter()).port, (await startRouter()).port]
  const agent = new Agent({ keepAlive: true })
  let sent = 0
  let stop = false
  const client = (async () => {
    for (let at = 0; !stop; ) {
      try {
        const path = `/_matrix/client/v3/rooms/!a:x/send/m.room.message/${sent}`
        const { status } = await bench.call('PUT', path, { body: `${sent}`, port: ports[at % 2]!, agent })
        if (status === 200) sent++
        else at++
      } catch {
        // Refused or reset: as matrix-js-sdk would, the same request goes to the other port.
        at++
      }
    }
  })()
  for (const index of [0, 1]) {
    const before = sent
    await until(() => sent > before + 20)
    await running[index]?.stop()
    ports[index] = (await startRouter()).port
  }
  const before = sent
  await until(() => sent > before + 20)
  stop = true
  await client
  agent.destroy()
  expect([...new Set(writer.seen.map((seen) => Number(seen.body)))]).toEqual(Array.from({ length: sent }, (_, i) => i))
})
