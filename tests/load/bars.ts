import { Conversation } from './conversation.ts'
import { ROOM_TABLES, totalOf } from './database-sizes.ts'
import { firstStart } from './first-start.ts'
import { forks } from './forks/forks.ts'
import { largeRoom } from './large-room.ts'
import { cpuPer, loadgen, losses, probe, type Report } from './loadgen.ts'
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
  firstStart: { name: 'first npm start on a clean clone, until it answers', issue: '3.1', unit: 's', limit: 90 },
  secondStart: { name: 'second npm start, until it answers', issue: '3.1', unit: 's', limit: 3 },
  startLeft: { name: 'npm start: processes left after Ctrl-C', issue: '3.1', unit: '', limit: 0 },
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
  forksLoop: { name: '20 rooms beside one of 200 forks: event loop of the writer, p99', issue: '4.4', unit: 'ms', limit: 20 },
  forksWait: { name: '20 rooms beside one of 200 forks: wait for the transaction, p95', issue: '4.4', unit: 'ms', limit: 20 },
  forksCpu: { name: '20 rooms beside one of 200 forks: CPU of a send, of that without', issue: '4.4', unit: '%', limit: 120 },
  forksLeftOut: { name: 'room of 200 forks: events left out', issue: '4.4', unit: '', limit: 0 },
  largeGrowth: { name: 'room of 20,000 members to one of 5,000: bytes, of n log n', issue: '4.5', unit: '%', limit: 100 },
  largeJoin: { name: 'room of 20,000 members: join p95', issue: '4.6', unit: 'ms', limit: 150 },
  largeMembers: { name: 'room of 20,000 members: longest block by /members', issue: '4.6', unit: 'ms', limit: 50 },
  largeSync: { name: 'room of 20,000 members: longest block by an initial /sync', issue: '4.6', unit: 'ms', limit: 50 },
} as const satisfies Record<string, Bar>

export type BarName = keyof typeof bars
export type Figures = Partial<Record<BarName, number>>

const IDLE_MS = 60_000
const ROUNDS = 3

/** Bars of the split layout with two sync processes. */
export async function splitBars(): Promise<Figures> {
  const server = await Server.start(['--split', '--replicas', 'sync=2'])
  try {
    await new Conversation(server.base).hold()
    await pause(IDLE_MS)
    const idleSplit = Math.max(...['router', 'writer', 'sync'].flatMap((name) => (server.pids()[name] ?? []).map(pssMb)))
    const idleSync = await idleSyncShare(server)
    const sending = ['-rooms', '50', '-concurrency', '32']
    const sends = await rounds('send', server, [...sending, '-duration', '30s'], [...sending, '-duration', '15s'])
    const latencies = await probe(server)
    const members = ['-members', '100']
    const fanouts = await rounds(
      'fanout',
      server,
      [...members, '-rate', '16', '-messages', '320'],
      [...members, '-rate', '4', '-messages', '60'],
    )
    const fanoutStatements = await statementsPerDelivery(server)
    return {
      idleSplit,
      idleSync,
      sendP50: latencies.send.median,
      wakeP50: latencies.wake_send.median,
      sendCpu: median(sends.slice(1).map((report) => cpuPer(report, 'event'))),
      sendLost: sum(sends.map((report) => losses(report.result.history))),
      fanoutCpu: median(fanouts.slice(1).map((report) => cpuPer(report, 'delivery'))),
      fanoutMissed: sum(fanouts.map((report) => losses(report.result.delivery))),
      fanoutStatements,
    }
  } finally {
    await server.stop()
  }
}

/** Bars of README's first command, on a clean clone with empty stores and caches. */
export async function startBars(): Promise<Figures> {
  const starts = await firstStart()
  return {
    firstStart: starts.first.answered,
    secondStart: starts.second.answered,
    startLeft: Object.values(starts).reduce((sum, { left }) => sum + left.length, 0),
  }
}

/** Bars of a room of 20,000 events in 200 forks, which comes in while 20 other rooms send. */
export async function forkBars(): Promise<Figures> {
  const { before, during, afterwards, outcomes, alone } = await forks({
    version: '12',
    forks: 200,
    events: 20_000,
    chatter: 0.6,
    rooms: 20,
    rate: 100,
    seconds: 15,
  })
  process.stdout.write(`${JSON.stringify({ before, during, afterwards, alone, outcomes }, undefined, 1)}\n`)
  const { accepted = 0, rejected = 0, 'soft-failed': softFailed = 0 } = outcomes
  return {
    forksLoop: during.loop.p99,
    forksWait: during.waitP95,
    forksCpu: (during.cpuMs / ((before.cpuMs + afterwards.cpuMs) / 2)) * 100,
    forksLeftOut: 20_000 - accepted - rejected - softFailed,
  }
}

/** Bars of a room of 20,000 members, all of this server. */
export async function largeRoomBars(): Promise<Figures> {
  const { sizes, ...measured } = await largeRoom([5000, 20_000])
  process.stdout.write(`${JSON.stringify(measured, undefined, 1)}\n`)
  const grown = sizes.map(({ members, tables }) => totalOf(tables, ROOM_TABLES) / (members * Math.log(members)))
  return {
    largeGrowth: ((grown[1] as number) / (grown[0] as number)) * 100,
    largeJoin: measured.joinP95,
    largeMembers: measured.members.blockedMs,
    largeSync: measured.initialSync.blockedMs,
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

/**
 * SQL statements of the sync processes for one delivery to a waiting /sync. What a run begins with (tokens, first answers) is the same
 * whatever it sends, so two runs of different lengths tell what the deliveries cost.
 */
export async function statementsPerDelivery(server: Server): Promise<number> {
  const runs: Array<{ readonly statements: number; readonly deliveries: number }> = []
  for (const messages of [10, 60]) {
    const before = await syncStatements(server)
    const args = ['-members', '100', '-rate', '4', '-messages', String(messages), '-prefix', `statements${messages}`]
    const { work } = await loadgen('fanout', server, args)
    runs.push({ statements: (await syncStatements(server)) - before, deliveries: work.delivery ?? 0 })
  }
  const [short, long] = runs as [(typeof runs)[0], (typeof runs)[0]]
  return Math.max(0, long.statements - short.statements) / (long.deliveries - short.deliveries)
}

/**
 * Runs a scenario several times on one server, each with users of its own, after one more that compiles what the others run: it comes
 * first, and counts for losses only.
 */
async function rounds(scenario: string, server: Server, warm: readonly string[], args: readonly string[]): Promise<Report[]> {
  const reports = [await loadgen(scenario, server, [...warm, '-prefix', 'warm'])]
  for (let round = 0; round < ROUNDS; round++) reports.push(await loadgen(scenario, server, [...args, '-prefix', `round${round}`]))
  return reports
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] as number
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
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
