import { Dice, growRoom, PeerRoom, SignedPeer } from '@weft/testkit'

/** The servers in the room; the last one is the server under test, as the others know it. */
export const forkPeers: readonly SignedPeer[] = [
  new SignedPeer('one.test'),
  new SignedPeer('two.test'),
  new SignedPeer('weft.test', { seed: Buffer.alloc(32, 7) }),
]
/** A user of the server under test, who is in the room. */
export const localUser = '@local:weft.test'

export interface ForkedRoomOptions {
  readonly version: string
  /** Rooms of different names are different rooms of the same course. */
  readonly name: string
  readonly forks: number
  /** On the forks together. */
  readonly events: number
  /** The share of plain messages; the rest are joins, kicks, bans, levels, rules and topics. */
  readonly chatter: number
}

export interface ForkedRoom {
  readonly room: PeerRoom
  /** What the server under test has before the room forks. */
  readonly base: readonly string[]
  /** The events of the forks as they come in: each fork grows a little, then the next. */
  readonly forked: readonly string[]
}

const USERS = 40
/** Events of one fork in a row. */
const BURST = 5

/** A room that parts into forks at one event; on each fork people quarrel, and none knows of the others. The same each time. */
export function forkedRoom({ version, name, forks, events, chatter }: ForkedRoomOptions): ForkedRoom {
  const [one, two] = forkPeers as [SignedPeer, SignedPeer, SignedPeer]
  const dice = new Dice(1)
  const alice = one.user('alice')
  const users = [alice, ...Array.from({ length: USERS - 1 }, (_, i) => (i % 2 === 0 ? one : two).user(`u${i}`))]
  const moderators = Object.fromEntries(users.slice(1, 8).map((user) => [user, 50]))
  const levels = { users: { ...(version === '12' ? {} : { [alice]: 100 }), ...moderators } }
  const room = PeerRoom.create(alice, { version, name, peers: forkPeers, levels })
  for (const user of [...users.slice(1), localUser]) room.join(user)
  const base = [...room.events.keys()]
  const tips = Array.from({ length: forks }, () => base.at(-1) as string)
  const forked: string[] = []
  for (let fork = 0; forked.length < events; fork = (fork + 1) % forks) {
    const steps = Math.min(BURST, events - forked.length)
    const made = growRoom(room, { dice, steps, users, on: tips[fork] as string, chatter })
    for (const { eventId } of made) forked.push(eventId)
    tips[fork] = made.at(-1)?.eventId ?? (tips[fork] as string)
  }
  return { room, base, forked }
}
