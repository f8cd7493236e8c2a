import { existsSync, mkdtempSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeAccounts } from './accounts.ts'
import { Conversation } from './conversation.ts'
import { databaseSizes, type TableSize } from './database-sizes.ts'
import { inParallel } from './fill.ts'
import { pause, Server } from './rig.ts'

/** What a large room costs. Times in ms. */
export interface LargeRoom {
  /** Of the joins after the room was full, one at a time. */
  readonly joinP50: number
  readonly joinP95: number
  /** The first join after a restart, with nothing in memory, and the longest that a process was blocked by it. */
  readonly coldJoin: number
  readonly coldJoinBlocked: number
  readonly members: LargeAnswer
  readonly initialSync: LargeAnswer
  /** The database with so many members in the room. */
  readonly sizes: ReadonlyArray<{ readonly members: number; readonly tables: readonly TableSize[] }>
}

/** An answer that lists all members. */
interface LargeAnswer {
  readonly ms: number
  readonly bytes: number
  /** The longest that a process was blocked meanwhile. */
  readonly blockedMs: number
}

const JOINS = 200

/**
 * A room of so many members in the split layout: joins, the list of members, an initial sync, bytes.
 * @param steps ascending numbers of members at which the database is measured; the last is how many there are
 */
export async function largeRoom(steps: readonly number[]): Promise<LargeRoom> {
  const members = steps.at(-1) as number
  const probe = new LoopProbe()
  const server = await Server.start(['--split'], probe.environment)
  const processes = () => ['router', 'writer', 'sync'].flatMap((name) => server.pids()[name] ?? [])
  try {
    const tokens = await makeAccounts(server, members + JOINS + 1)
    const talk = new Conversation(server.base)
    const token = (i: number) => tokens[i] as string
    const { room_id } = await talk.request('POST', '/createRoom', token(0), { preset: 'public_chat', name: 'large' })
    const room = encodeURIComponent(room_id as string)
    const enter = (i: number) => talk.request('POST', `/join/${room}`, token(i), {})
    const sizes: Array<LargeRoom['sizes'][number]> = []
    for (let first = 1; first < members; first = sizes.at(-1)?.members as number) {
      const next = steps[sizes.length] as number
      await inParallel(first, next, enter)
      sizes.push({ members: next, tables: await databaseSizes(server.database) })
      process.stderr.write(`${next} members\n`)
    }

    const joins: number[] = []
    for (let i = members; i < members + JOINS; i++) joins.push(await timed(() => enter(i)))
    joins.sort((a, b) => a - b)

    const listed = async (path: string, count: (body: LargeBody) => number): Promise<LargeAnswer> => {
      await probe.longest(processes())
      const begun = performance.now()
      const response = await fetch(`${server.base}/_matrix/client/v3${path}`, { headers: { authorization: `Bearer ${token(0)}` } })
      const text = await response.text()
      const ms = performance.now() - begun
      const blockedMs = await probe.longest(processes())
      const found = count(JSON.parse(text) as LargeBody)
      if (found !== members + JOINS) throw new Error(`${path} lists ${found} of ${members + JOINS} members`)
      return { ms, bytes: text.length, blockedMs }
    }
    const membersAnswer = await listed(`/rooms/${room}/members`, ({ chunk = [] }) => chunk.length)
    const initialSync = await listed('/sync?timeout=0', ({ rooms }) => {
      const { state, timeline } = rooms?.join[room_id as string] ?? { state: { events: [] }, timeline: { events: [] } }
      const who = [...state.events, ...timeline.events].filter(({ type }) => type === 'm.room.member')
      return new Set(who.map(({ state_key }) => state_key)).size
    })

    process.kill(server.pids().writer?.[0] as number, 'SIGKILL')
    // In another room, until the new writer answers: it has met none of this one.
    while (!(await talk.request('POST', '/createRoom', token(0), {}).catch(() => undefined))) await pause(50)
    await probe.longest(processes())
    const coldJoin = await timed(() => enter(members + JOINS))
    const coldJoinBlocked = await probe.longest(processes())
    return {
      joinP50: joins[joins.length >> 1] as number,
      joinP95: joins[Math.ceil(joins.length * 0.95) - 1] as number,
      coldJoin,
      coldJoinBlocked,
      members: membersAnswer,
      initialSync,
      sizes,
    }
  } finally {
    await server.stop()
    await rm(probe.folder, { recursive: true })
  }
}

interface LargeBody {
  readonly chunk?: readonly unknown[]
  readonly rooms?: { readonly join: Readonly<Record<string, Record<'state' | 'timeline', { readonly events: readonly ShownEvent[] }>>> }
}

interface ShownEvent {
  readonly type: string
  readonly state_key?: string
}

async function timed(act: () => Promise<unknown>): Promise<number> {
  const begun = performance.now()
  await act()
  return performance.now() - begun
}

/** Watches the event loops of a server's processes from inside them. */
class LoopProbe {
  readonly folder = mkdtempSync(join(tmpdir(), 'weft-loop-'))
  readonly environment = {
    LOOP_PROBE_DIR: this.folder,
    NODE_OPTIONS: `--import ${join(import.meta.dirname, 'loop-probe.mjs')}`,
  }

  /** The longest delay in any of these processes since this was last asked, in ms. */
  async longest(pids: readonly number[]): Promise<number> {
    for (const pid of pids) process.kill(pid, 'SIGUSR2')
    const delays = pids.map(async (pid) => {
      const file = join(this.folder, String(pid))
      while (!existsSync(file)) await pause(5)
      const delay = Number(await readFile(file, 'utf8'))
      await rm(file)
      return delay
    })
    return Math.max(...(await Promise.all(delays)))
  }
}
