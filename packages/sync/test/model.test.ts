import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { sql } from '@weft/storage'
import type { BuiltRoom } from '@weft/testkit'
import { ENGINE_LIMITS } from '../src/engine.ts'
import { type ClientEvent, type Device, type RoomAnswer, type SyncAnswer, type SyncProcess, World } from './support.ts'

/**
 * Random histories, read by clients that keep state as the specification tells them to: whatever process they ask, however their
 * timelines are cut and whichever answers are lost, they end up with the server's state and with every message once.
 */

let world: World
beforeAll(async () => {
  world = await World.create()
})
afterAll(async () => {
  await world[Symbol.asyncDispose]()
})

const currentState = sql<{ type: string; state_key: string; event_id: string }>(
  'test.currentState',
  `SELECT k.type, k.state_key, e.event_id FROM current_state_events c JOIN state_keys k USING (state_key_nid)
   JOIN events e ON e.event_nid = c.event_nid WHERE c.room_nid = $1`,
)
const messages = sql<{ event_id: string }>(
  'test.messages',
  `SELECT event_id FROM events WHERE room_nid = $1 AND stream_ordering IS NOT NULL ORDER BY stream_ordering`,
)

interface ClientRoom {
  state: Map<string, string>
  events: string[]
  /** A gap in the timeline was announced: what is before it is not known. */
  cut: boolean
}

/** What a client keeps of an account. */
class Client {
  readonly device: Device
  readonly stateAfter: boolean
  readonly limit: number
  readonly lazy: boolean
  readonly rooms = new Map<string, ClientRoom>()
  readonly invites = new Set<string>()

  constructor(device: Device, stateAfter: boolean, limit: number, lazy: boolean) {
    this.device = device
    this.stateAfter = stateAfter
    this.limit = limit
    this.lazy = lazy
  }

  async sync(at: SyncProcess, lost: boolean): Promise<void> {
    const device = this.device.at(at)
    const options = {
      useStateAfter: this.stateAfter,
      json: { room: { timeline: { limit: this.limit }, state: { lazy_load_members: this.lazy } } },
    }
    if (lost) await device.peek(options)
    const answer = await device.sync(options)
    this.device.since = device.since
    this.#apply(answer)
  }

  #apply(answer: SyncAnswer): void {
    for (const [roomId, room] of Object.entries(answer.rooms?.invite ?? {})) {
      expect(room.invite_state.events.some((event) => event.type === 'm.room.create')).toBe(true)
      this.invites.add(roomId)
      this.rooms.delete(roomId)
    }
    for (const [roomId, room] of Object.entries(answer.rooms?.join ?? {})) {
      this.invites.delete(roomId)
      this.#applyRoom(roomId, room)
    }
    for (const roomId of Object.keys(answer.rooms?.leave ?? {})) {
      this.invites.delete(roomId)
      this.rooms.delete(roomId)
    }
  }

  #applyRoom(roomId: string, answer: RoomAnswer): void {
    let room = this.rooms.get(roomId)
    if (room === undefined) {
      room = { state: new Map(), events: [], cut: false }
      this.rooms.set(roomId, room)
    }
    if (answer.timeline.limited) {
      room.events = []
      room.cut = true
    }
    const set = (event: ClientEvent) => {
      if (event.state_key !== undefined) room.state.set(JSON.stringify([event.type, event.state_key]), event.event_id)
    }
    for (const event of (this.stateAfter ? answer.state_after : answer.state)?.events ?? []) set(event)
    for (const event of answer.timeline.events) {
      expect(room.events).not.toContain(event.event_id)
      room.events.push(event.event_id)
      if (!this.stateAfter) set(event)
    }
    for (const event of answer.timeline.events) expect([...room.state.keys()]).toContain(memberKey(event.sender))
  }
}

const memberKey = (userId: string) => JSON.stringify(['m.room.member', userId])

/** A small generator of repeatable numbers (mulberry32). */
function numbers(seed: number): (below: number) => number {
  let a = seed
  return (below) => {
    a = (a + 0x6d2b79f5) | 0
    let t = Math.imul(a ^ (a >>> 15), 1 | a)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

async function act(
  room: BuiltRoom,
  owner: string,
  others: readonly string[],
  user: string,
  memberships: Map<string, string>,
  pick: (below: number) => number,
): Promise<void> {
  const membership = memberships.get(room.roomId) ?? 'leave'
  const move = async (to: string, sender = user) => {
    await room.member(user, to, { sender })
    memberships.set(room.roomId, to)
  }
  switch (pick(11)) {
    case 0:
      return membership === 'join' ? await move('leave') : membership === 'ban' ? await move('leave', owner) : await move('join')
    case 1:
      return membership === 'leave' ? await move('invite', owner) : membership === 'invite' ? await move('leave') : undefined
    case 2:
      return pick(3) === 0 ? await move('ban', owner) : undefined
    case 3:
    case 4:
      await room.state(owner, 'm.room.topic', { topic: String(pick(1000)) }, String(pick(3)))
      return
    case 5:
      if (membership === 'join') await room.member(user, 'join', { content: { displayname: String(pick(100)) } })
      return
    case 6:
    case 7:
      await room.member(others[pick(others.length)] as string, 'join', { content: { displayname: String(pick(100)) } })
      return
    default:
      for (let i = pick(6); i >= 0; i--) await room.message([owner, ...others][pick(others.length + 1)] as string, String(pick(1000)))
  }
}

const CLIENTS = [
  { stateAfter: false, limit: 3, lazy: false },
  { stateAfter: true, limit: 3, lazy: false },
  { stateAfter: false, limit: 50, lazy: false },
  { stateAfter: false, limit: 3, lazy: true },
  { stateAfter: true, limit: 4, lazy: true },
]

/** Of a process that forgets most of what it hears. */
const FORGETFUL = { ...ENGINE_LIMITS, feed: { events: 4, bytes: 4000, deltas: 4, receipts: 2, members: 1 }, feedBytes: 6000 }

test.each([1, 2, 3, 4])('clients of a random history end up with the state of the server (%i)', async (seed) => {
  const pick = numbers(seed)
  const [owner, user] = [`@model-owner${seed}:test`, `@model-user${seed}:test`]
  const warm = await world.process()
  const forgetful = await world.process(FORGETFUL)
  const rooms: BuiltRoom[] = []
  const others = Array.from({ length: 8 }, (_, i) => `@model-other${seed}-${i}:test`)
  for (let i = 0; i < 4; i++) {
    const room = await world.rooms.room(owner)
    await room.join(...others)
    rooms.push(room)
  }
  await world.settle()
  const clients: Client[] = []
  for (const [index, { stateAfter, limit, lazy }] of CLIENTS.entries()) {
    clients.push(new Client(await world.device(warm, user, `DEV${index}`), stateAfter, limit, lazy))
  }
  const memberships = new Map<string, string>()
  for (let step = 0; step < 60; step++) {
    await act(rooms[pick(rooms.length)] as BuiltRoom, owner, others, user, memberships, pick)
    await world.settle()
    const cold = pick(12) === 0
    const at = cold ? await world.process() : pick(3) === 0 ? forgetful : warm
    if (cold) await world.settle()
    for (const client of clients) if (cold || pick(4) === 0) await client.sync(at, pick(3) === 0)
  }
  for (const client of clients) {
    await client.sync(warm, false)
    for (const room of rooms) {
      const kept = client.rooms.get(room.roomId)
      const membership = memberships.get(room.roomId) ?? 'leave'
      expect([room.roomId, kept !== undefined]).toEqual([room.roomId, membership === 'join'])
      expect([room.roomId, client.invites.has(room.roomId)]).toEqual([room.roomId, membership === 'invite'])
      if (kept === undefined) continue
      const state = await world.test.db.query(currentState, [room.roomNid])
      const wanted = new Map(state.map((row) => [JSON.stringify([row.type, row.state_key]), row.event_id]))
      // A lazy client has some of the members, but those as they are now.
      if (client.lazy) {
        for (const key of [...wanted.keys()]) if (key.startsWith('["m.room.member"') && !kept.state.has(key)) wanted.delete(key)
      }
      expect(Object.fromEntries(kept.state)).toEqual(Object.fromEntries(wanted))
      const all = (await world.test.db.query(messages, [room.roomNid])).map((row) => row.event_id)
      expect(kept.events).toEqual(all.slice(all.length - kept.events.length))
      if (!kept.cut) expect(kept.events).toEqual(all)
    }
  }
})
