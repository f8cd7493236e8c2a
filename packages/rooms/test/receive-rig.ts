import { type JsonValue, joinPdu, requireRoomVersion } from '@weft/matrix'
import { EventGraphReader, type GraphEventRow, sql } from '@weft/storage'
import { PeerKeys, PeerRoom, PeerSource, type PeerState, SignedPeer } from '@weft/testkit'
import type { Received, Receiver } from '../src/index.ts'
import type { ReceivingOptions } from '../src/receive/open-receiving.ts'
import { stateOfGroup } from '../src/state-groups.ts'
import { RoomsRig } from './rig.ts'

const nidsOfRoom = sql<{ event_nid: number }>(
  'rig.nidsOfRoom',
  'SELECT event_nid FROM events JOIN rooms USING (room_nid) WHERE room_id = $1 AND NOT outlier ORDER BY event_nid',
)
const stored = sql<{
  event_id: string
  outlier: boolean
  soft_failed: boolean
  rejection_reason: string | null
  stream_ordering: number | null
}>('rig.stored', 'SELECT event_id, outlier, soft_failed, rejection_reason, stream_ordering FROM events WHERE event_id = ANY($1)')
const forwardExtremities = sql<{ event_id: string }>(
  'rig.forwardExtremities',
  `SELECT event_id FROM event_forward_extremities JOIN events USING (event_nid) JOIN rooms ON rooms.room_nid = events.room_nid
   WHERE room_id = $1 ORDER BY event_id`,
)

/** The rooms domain with other servers in its rooms: `one` and `two`. */
export class ReceiveRig {
  readonly rooms: RoomsRig
  readonly one = new SignedPeer('one.test')
  readonly two = new SignedPeer('two.test')
  /** This server, as the others see it. */
  readonly home = new SignedPeer('weft.test', { seed: Buffer.alloc(32, 7) })
  readonly keys: PeerKeys
  readonly graph: EventGraphReader
  readonly receiver: Receiver
  readonly #others: readonly SignedPeer[]
  #rooms = 0

  private constructor(rooms: RoomsRig, peers: { others: readonly SignedPeer[]; keys: PeerKeys }) {
    this.rooms = rooms
    this.#others = peers.others
    this.keys = peers.keys
    this.graph = new EventGraphReader(rooms.database.db)
    this.receiver = rooms.receiving.receiver
  }

  /** @param options.peers further servers */
  static async start(
    options: {
      readonly peers?: readonly SignedPeer[]
      readonly resolution?: ReceivingOptions['resolution']
      readonly headBytes?: number
      readonly roomLimits?: ReceivingOptions['roomLimits']
    } = {},
  ): Promise<ReceiveRig> {
    const { peers = [], ...others } = options
    const keys = new PeerKeys([])
    const rig = new ReceiveRig(await RoomsRig.start({ ...others, keys }), { others: peers, keys })
    for (const peer of rig.peers) keys.add(peer)
    return rig
  }

  async stop(): Promise<void> {
    await this.rooms.stop()
  }

  get peers(): SignedPeer[] {
    return [this.one, this.two, this.home, ...this.#others]
  }

  /** A room of a peer that this server was given whole, with a user of this server in it. */
  async remoteRoom(version: string, options: Omit<Parameters<typeof PeerRoom.create>[1], 'version' | 'peers'> = {}): Promise<PeerRoom> {
    const room = PeerRoom.create(this.one.user('alice'), { version, peers: this.peers, name: `r${this.#rooms++}`, ...options })
    room.join(this.home.user('local'))
    const received = await this.receiver.open({ roomId: room.roomId, roomVersion: version, pdus: room.pdus() })
    const bad = received.filter(({ outcome }) => outcome !== 'accepted' && outcome !== 'known')
    if (bad.length > 0) throw new Error(`the room was not taken: ${JSON.stringify(bad)}`)
    return room
  }

  /** A room of this server as its peers see it. */
  async seenByPeers(roomId: string): Promise<PeerRoom> {
    const room = await this.rooms.rooms.byRoomId(roomId)
    const version = requireRoomVersion(room?.roomVersion ?? '')
    const peerRoom = new PeerRoom({ version: version.id, roomId, peers: this.peers })
    const nids = (await this.rooms.database.db.query(nidsOfRoom, [roomId])).map((row) => row.event_nid)
    const rows = await this.rooms.events.fullByNids(nids)
    for (const nid of nids) {
      const row = rows.get(nid)
      if (row !== undefined) peerRoom.observe(joinPdu(row.json, row.envelope, roomId, version))
    }
    return peerRoom
  }

  /** Gives events of a room to the receiver, which may ask the peers for what it lacks. */
  async receive(room: PeerRoom, eventIds: readonly string[], source: PeerSource | undefined = new PeerSource(room)): Promise<Received[]> {
    return this.receiver.receive({ roomId: room.roomId, pdus: room.pdus(eventIds), source })
  }

  async give(room: PeerRoom, ...pdus: unknown[]): Promise<Received[]> {
    return this.receiver.receive({ roomId: room.roomId, pdus: pdus as JsonValue[] })
  }

  async stored(eventId: string) {
    return (await this.rooms.database.db.query(stored, [[eventId]]))[0]
  }

  async graphRow(eventId: string): Promise<GraphEventRow> {
    return (await this.graph.byIds([eventId]))[0] as GraphEventRow
  }

  /** The state after an event as it is stored, by event ids. */
  async stateAfter(eventId: string): Promise<Record<string, string>> {
    const { stateGroup } = await this.graphRow(eventId)
    const nids = stateOfGroup(await this.rooms.state.groupChain(stateGroup as number))
    return named((await this.graph.byNids([...nids.values()])).map((row) => [row.type, row.stateKey ?? '', row.eventId]))
  }

  /** The current state in the table. */
  async current(roomId: string): Promise<Record<string, string>> {
    const room = await this.rooms.rooms.byRoomId(roomId)
    const entries: Array<[type: string, stateKey: string, eventId: string]> = []
    for await (const page of this.rooms.state.current(room?.roomNid ?? 0)) {
      for (const row of page) entries.push([row.type, row.stateKey, row.eventId])
    }
    return named(entries)
  }

  /** The current state and extremities in memory. */
  async head(roomId: string): Promise<{ state: Record<string, string>; extremities: string[] }> {
    const head = await this.rooms.heads.get(roomId)
    return {
      state: named([...head.entries()].map(([type, key, entry]) => [type, key, entry.eventId])),
      extremities: head.extremities.map(({ eventId }) => eventId).sort(),
    }
  }

  /** Forgets what is in memory of the rooms, as a new writer. */
  forget(): void {
    this.rooms.heads.clear()
  }

  async listedExtremities(roomId: string): Promise<string[]> {
    return (await this.rooms.database.db.query(forwardExtremities, [roomId])).map((row) => row.event_id)
  }
}

export function named(entries: Iterable<readonly [type: string, stateKey: string, eventId: string]>): Record<string, string> {
  return Object.fromEntries([...entries].map(([type, key, id]) => [`${type}|${key}`, id]).sort())
}

export function namedState(state: PeerState): Record<string, string> {
  return named(state.entries())
}
