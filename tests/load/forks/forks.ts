import { createHash } from 'node:crypto'
import { existsSync, mkdtempSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from '@weft/storage'
import { type Figures, makeTemplate, startPostgres, type TestClient, TestCluster } from '@weft/testkit'
import { root } from '../paths.ts'
import { pause } from '../rig.ts'
import { Cpu } from './cpu.ts'
import { type ForkedRoomOptions, forkedRoom } from './forked-room.ts'
import type { LoopDelay } from './loop-watch.ts'
import type { Order } from './receiving-writer.ts'

export interface ForksOptions extends Omit<ForkedRoomOptions, 'name'> {
  /** Other rooms, each with somebody who sends. */
  readonly rooms: number
  /** Sends a second in all of them together. */
  readonly rate: number
  /** How long they send before. */
  readonly seconds: number
}

/** What the other rooms' sends were like for a time. */
export interface Sends {
  readonly seconds: number
  readonly sent: number
  /** CPU ms of all processes for one send, without what the forked room took and what idle processes take. */
  readonly cpuMs: number
  readonly waitP95: number
  /** As the senders saw it. */
  readonly latencyP50: number
  readonly latencyP95: number
  readonly loop: LoopDelay
}

export interface Forks {
  readonly before: Sends
  readonly during: Sends
  readonly afterwards: Sends
  /** The forked room without other load. */
  readonly alone: {
    readonly seconds: number
    /** Without resolving. */
    readonly cpuSeconds: number
    readonly resolvingCpuSeconds: number
    readonly loop: LoopDelay
  }
  readonly outcomes: Readonly<Record<string, number>>
  readonly resolutions: number
  readonly resolutionSeconds: number
}

/** Events in a transaction of another server. */
const TRANSACTION = 50

const resolverBackends = sql<{ pid: number }>(
  'forks.resolverBackends',
  "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE '%resolver'",
)
const main = join(root, 'apps', 'weft', 'src', 'main.ts')

/** Feeds a room of many forks to a writer while other rooms send. */
export async function forks(options: ForksOptions): Promise<Forks> {
  const warm = await written({ ...options, name: 'warm', forks: 20, events: 1000 })
  const [first, second] = [await written({ ...options, name: 'alone' }), await written({ ...options, name: 'beside' })]
  const folder = mkdtempSync(join(tmpdir(), 'weft-forks-'))
  const socket = join(folder, 'orders')
  process.env.RECEIVING_WRITER_SOCKET = socket
  const postgres = await startPostgres({ major: 18, fsync: true })
  process.env.WEFT_TEST_POSTGRES = JSON.stringify(postgres.connection)
  await makeTemplate(postgres.connection)
  const cluster = await TestCluster.start({
    layout: 'split',
    program: (of, config) =>
      of === 'writer'
        ? ['--max-semi-space-size=8', join(import.meta.dirname, 'receiving-writer.ts'), config]
        : ['--max-semi-space-size=8', main, 'run', of, '--config', config],
  })
  try {
    const pids = [...cluster.processes.map(({ pid }) => pid), cluster.redis?.process?.pid as number, postgres.server.pid]
    using cpu = new Cpu(pids, {
      writer: cluster.writer().pid,
      backends: async () => (await cluster.database.db.query(resolverBackends, [])).map(({ pid }) => pid),
    })
    const order = (what: Order) => ordered(socket, what)
    const load = await Load.start(cluster, options)
    // What is compiled and cached in the first seconds belongs to neither.
    await load.during(pause(options.seconds * 1000))
    await order(warm.open)
    await load.during(order(warm.forks))
    const idle = await measured(cpu, pause(5000))
    const idleCpu = idle.others / idle.seconds

    const sends = async (work: Promise<unknown>, otherCpu: number): Promise<Sends> => {
      await order({ do: 'loop' })
      const writer = cluster.writer()
      const waits = await writer.metrics()
      const { seconds, others, value: latencies } = await measured(cpu, load.during(work))
      const sent = latencies.length
      return {
        seconds,
        sent,
        cpuMs: ((others - otherCpu - idleCpu * seconds) / sent) * 1000,
        waitP95: percentileMs(waits, await writer.metrics(), 'weft_commit_wait_seconds', 0.95),
        latencyP50: latencies[sent >> 1] as number,
        latencyP95: latencies[Math.floor(sent * 0.95)] as number,
        loop: (await order({ do: 'loop' })) as LoopDelay,
      }
    }
    await order(first.open)
    await order(second.open)
    const before = await sends(pause(options.seconds * 1000), 0)
    await order({ do: 'loop' })
    const alone = await measured(cpu, order(first.forks))
    const loop = (await order({ do: 'loop' })) as LoopDelay
    const counted = await cluster.writer().metrics()
    const feeding = order(second.forks)
    const during = await sends(feeding, alone.others - idleCpu * alone.seconds)
    const after = await cluster.writer().metrics()
    const afterwards = await sends(pause(options.seconds * 1000), 0)
    const grown = (name: string) => after.value(name) - counted.value(name)
    return {
      before,
      during,
      afterwards,
      alone: { seconds: alone.seconds, cpuSeconds: alone.others, resolvingCpuSeconds: alone.resolving, loop },
      outcomes: (await feeding) as Record<string, number>,
      resolutions: grown('weft_state_resolutions_total'),
      resolutionSeconds: grown('weft_state_resolution_duration_seconds_sum'),
    }
  } finally {
    await cluster.stop()
    await postgres.stop()
    await rm(folder, { recursive: true, force: true })
  }
}

interface Orders {
  /** Brings the room into being, up to where it forks. */
  readonly open: Order
  readonly forks: Order
}

/** A forked room in files for the writer, made once: it takes some ten seconds and is the same each time. */
async function written(options: ForkedRoomOptions): Promise<Orders> {
  const { version, name, forks: count, events, chatter } = options
  const recipe = await readFile(join(import.meta.dirname, 'forked-room.ts'))
  const hash = createHash('sha256')
    .update(JSON.stringify([version, name, count, events, chatter]))
    .update(recipe)
  const folder = join(root, '.cache', 'forked-rooms', hash.digest('hex').slice(0, 16))
  const named = join(folder, 'room-id')
  if (!existsSync(named)) {
    await mkdir(folder, { recursive: true })
    const { room, base, forked } = forkedRoom(options)
    const write = async (file: string, ids: readonly string[], each: number) => {
      const lines: string[] = []
      for (let i = 0; i < ids.length; i += each) lines.push(JSON.stringify(room.pdus(ids.slice(i, i + each))))
      await writeFile(join(folder, file), lines.join('\n'))
    }
    await write('base', base, base.length)
    await write('forks', forked, TRANSACTION)
    await writeFile(named, room.roomId)
  }
  const feed = { do: 'feed', roomId: await readFile(named, 'utf8'), roomVersion: version } as const
  return { open: { ...feed, file: join(folder, 'base'), open: true }, forks: { ...feed, file: join(folder, 'forks'), open: false } }
}

/** People in rooms of their own, each of whom sends at a steady pace. */
class Load {
  readonly #senders: ReadonlyArray<{ readonly client: TestClient; readonly roomId: string }>
  readonly #everyMs: number

  private constructor(senders: ReadonlyArray<{ readonly client: TestClient; readonly roomId: string }>, everyMs: number) {
    this.#senders = senders
    this.#everyMs = everyMs
  }

  static async start(cluster: TestCluster, { rooms, rate }: ForksOptions): Promise<Load> {
    const senders = await Promise.all(
      Array.from({ length: rooms }, async (_, i) => {
        const client = await cluster.register(`sender${i}`)
        return { client, roomId: await client.createRoom({ preset: 'public_chat' }) }
      }),
    )
    return new Load(senders, (1000 * rooms) / rate)
  }

  /** Sends until the work is done. @returns how long each took, in ms, ascending */
  async during(work: Promise<unknown>): Promise<number[]> {
    let done = false
    const ends = work.finally(() => {
      done = true
    })
    const latencies: number[] = []
    await Promise.all(
      this.#senders.map(async ({ client, roomId }, i) => {
        // By the clock: who is answered late sends the next one at once.
        for (let due = performance.now() + (this.#everyMs * i) / this.#senders.length; !done; due += this.#everyMs) {
          await pause(Math.max(0, due - performance.now()))
          const begun = performance.now()
          await client.message(roomId, 'a message of usual length, as people write them')
          latencies.push(performance.now() - begun)
        }
      }),
    )
    await ends
    return latencies.sort((a, b) => a - b)
  }
}

async function measured<T>(
  cpu: Cpu,
  work: Promise<T>,
): Promise<{ readonly seconds: number; readonly others: number; readonly resolving: number; readonly value: T }> {
  const before = await cpu.read()
  const begun = performance.now()
  const value = await work
  const seconds = (performance.now() - begun) / 1000
  const after = await cpu.read()
  return { seconds, others: after.others - before.others, resolving: after.resolving - before.resolving, value }
}

/** A percentile of what a histogram took in between two readings, in ms: the place in its bucket by even spread. */
function percentileMs(before: Figures, after: Figures, name: string, share: number): number {
  const [old, now] = [before.by(`${name}_bucket`, 'le'), after.by(`${name}_bucket`, 'le')]
  const counts = [...now].map(([le, count]) => ({
    le: le === '+Inf' ? Number.POSITIVE_INFINITY : Number(le),
    count: count - (old.get(le) ?? 0),
  }))
  counts.sort((a, b) => a.le - b.le)
  const wanted = (counts.at(-1)?.count ?? 0) * share
  let below = { le: 0, count: 0 }
  for (const bucket of counts) {
    if (bucket.count >= wanted)
      return (below.le + ((bucket.le - below.le) * (wanted - below.count)) / (bucket.count - below.count || 1)) * 1000
    below = bucket
  }
  return 0
}

function ordered(socketPath: string, order: Order): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, method: 'POST', path: '/' }, async (response) => {
      let text = ''
      for await (const chunk of response.setEncoding('utf8')) text += chunk
      if (response.statusCode === 200) resolve(JSON.parse(text))
      else reject(new Error(text))
    })
    sent.on('error', reject)
    sent.end(JSON.stringify(order))
  })
}
