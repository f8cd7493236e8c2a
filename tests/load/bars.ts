import { Conversation } from './conversation.ts'
import { cpuPer, loadgen, losses, probe } from './loadgen.ts'
import { cpuSeconds, pause, pssMb, Server } from './rig.ts'

/** One figure with the limit that an issue set. */
export interface Bar {
  readonly name: string
  /** The issue and its bar: `3.3`. */
  readonly issue: string
  readonly unit: string
  /** The figure must be at most this. */
  readonly limit: number
}

export const bars = {
  sendCpu: { name: 'send, 50 rooms × 32: CPU per event, all processes', issue: '3.3', unit: 'ms', limit: 1.0 },
  sendLost: { name: 'send: events lost or doubled', issue: '3.3', unit: '', limit: 0 },
  sendP50: { name: 'sequential send p50', issue: '3.3', unit: 'ms', limit: 2 },
  wakeP50: { name: 'send to /sync wake p50', issue: '3.3', unit: 'ms', limit: 4 },
  fanoutCpu: { name: 'fanout to 100 at 4/s: CPU per delivery', issue: '3.3', unit: 'ms', limit: 0.6 },
  fanoutMissed: { name: 'fanout: deliveries missed or doubled', issue: '3.3', unit: '', limit: 0 },
  fanoutStatements: { name: 'fanout: SQL statements of sync processes per delivery', issue: '3.3', unit: '', limit: 0.01 },
  idleSingle: { name: 'idle single with PostgreSQL, PSS', issue: '3.6', unit: 'MB', limit: 220 },
  idleSplit: { name: 'idle split, largest process, PSS', issue: '3.6', unit: 'MB', limit: 110 },
  idleSync: { name: 'idle sync under 40 events/s for others: share of a core', issue: '3.6', unit: '%', limit: 3 },
} as const satisfies Record<string, Bar>

export type BarName = keyof typeof bars
export type Figures = Partial<Record<BarName, number>>

const IDLE_MS = 60_000

/** Bars of the split layout with two sync processes. */
export async function splitBars(): Promise<Figures> {
  const server = await Server.start(['--split', '--replicas', 'sync=2'])
  try {
    await new Conversation(server.base).hold()
    await pause(IDLE_MS)
    const idleSplit = Math.max(...['router', 'writer', 'sync'].flatMap((name) => (server.pids()[name] ?? []).map(pssMb)))
    const idleSync = await idleSyncShare(server)
    const latencies = await probe(server)
    const send = await loadgen('send', server, ['-rooms', '50', '-concurrency', '32', '-duration', '20s'])
    const before = await syncStatements(server)
    const fanout = await loadgen('fanout', server, ['-members', '100', '-rate', '4', '-messages', '100'])
    const statements = (await syncStatements(server)) - before
    const deliveries = fanout.work.delivery ?? 1
    return {
      idleSplit,
      idleSync,
      sendP50: latencies.send.median,
      wakeP50: latencies.wake_send.median,
      sendCpu: cpuPer(send, 'event'),
      sendLost: losses(send.result.history),
      fanoutCpu: cpuPer(fanout, 'delivery'),
      fanoutMissed: losses(fanout.result.delivery),
      fanoutStatements: statements / deliveries,
    }
  } finally {
    await server.stop()
  }
}

/** Bars of the one process. */
export async function singleBars(): Promise<Figures> {
  const server = await Server.start()
  try {
    await new Conversation(server.base).hold()
    await pause(IDLE_MS)
    return { idleSingle: pssMb(server.pids().single?.[0] as number) }
  } finally {
    await server.stop()
  }
}

/** The share of a core that the idlest sync process uses while others' rooms see 40 events a second. */
async function idleSyncShare(server: Server): Promise<number> {
  const talk = new Conversation(server.base)
  const { alice, roomId } = await talk.hold()
  const pids = server.pids().sync ?? []
  const started = performance.now()
  const before = pids.map(cpuSeconds)
  let sent = 0
  while (performance.now() - started < 15_000) {
    const due = Math.floor(((performance.now() - started) / 1000) * 40)
    while (sent < due) {
      await talk.send(alice, roomId, `event ${sent++}`)
    }
    await pause(10)
  }
  const seconds = (performance.now() - started) / 1000
  return Math.min(...pids.map((pid, i) => ((cpuSeconds(pid) - (before[i] as number)) / seconds) * 100))
}

/** Statements that the sync processes have sent to PostgreSQL for requests; flushing when devices were seen is not one. */
async function syncStatements(server: Server): Promise<number> {
  let total = 0
  for (const url of server.healthUrls('sync')) {
    const text = await (await fetch(`${url}/metrics`)).text()
    for (const match of text.matchAll(/^weft_db_statements_total\{[^}]*statement="([^"]+)"[^}]*\} (\S+)$/gm)) {
      if (!(match[1] as string).startsWith('devices.')) total += Number(match[2])
    }
  }
  return total
}
