import { Bell } from './bell.ts'
import { type ClientEvent, type Sender, TestClient } from './cluster-client.ts'
import { Follower } from './cluster-follower.ts'
import { RetryCounts, retryingSender } from './cluster-retry.ts'

export interface SteadyLoadOptions {
  /** Where clients reach the server: the routers. Each client knows all, and begins with its own. */
  readonly urls: readonly string[]
  readonly clients: number
  readonly rooms: number
  /** Between an acknowledgement and the client's next message, in ms. */
  readonly paceMs: number
  /** How often a client tries again before it gives up; as matrix-js-sdk by default. */
  readonly maxTries?: number
  /** Told apart from those of another load on the same server. */
  readonly prefix?: string
}

/** A message that the server said it has. Times are of `performance.now()`. */
interface Acknowledged {
  readonly roomId: string
  readonly eventId: string
  readonly body: string
  readonly begunAt: number
  readonly at: number
}

/** From a moment on, in ms. */
export interface Recovery {
  /** Until a message that was begun after it was acknowledged. */
  readonly firstSend: number
  /** Until every client had such an acknowledgement. */
  readonly everySend: number
  /** Until every client had seen such a message in its sync. */
  readonly everySync: number
}

const RECOVERY_MS = 60_000
const ROOMS_OF_A_CLIENT = 2

interface Member {
  readonly client: TestClient
  readonly rooms: readonly string[]
  readonly follower: Follower
  /** What it asks for now, and since when; undefined between its requests. */
  asking: { readonly what: string; readonly since: number } | undefined
}

/**
 * Many small clients that write to their rooms without end, sync all the time, and retry as matrix-js-sdk does. It keeps what was
 * acknowledged, and compares it with what the server has and with what each client saw.
 */
export class SteadyLoad implements AsyncDisposable {
  readonly counts: RetryCounts
  readonly #options: SteadyLoadOptions
  readonly #rooms: readonly string[]
  readonly #members: readonly Member[]
  readonly #acknowledged: Acknowledged[] = []
  readonly #sent = new Bell()
  readonly #working = new Map<Member, Promise<void>>()
  #running = false
  #number = 0

  private constructor(options: SteadyLoadOptions, counts: RetryCounts, rooms: readonly string[], members: readonly Member[]) {
    this.#options = options
    this.counts = counts
    this.#rooms = rooms
    this.#members = members
  }

  /** Registers the clients, makes the rooms, joins, and begins to write. */
  static async start(options: SteadyLoadOptions): Promise<SteadyLoad> {
    const counts = new RetryCounts()
    const senders: Sender[] = Array.from({ length: options.clients }, (_, i) => retryingSender(options.urls, counts, i, options.maxTries))
    const clients = await Promise.all(senders.map((send, i) => TestClient.register(send, `${options.prefix ?? 'load'}${i}`)))
    const creators = Array.from({ length: options.rooms }, (_, i) => clients[i % clients.length] as TestClient)
    const rooms = await Promise.all(creators.map((creator) => creator.createRoom({ preset: 'public_chat' })))
    const roomsOf = clients.map((_, i) =>
      Array.from({ length: Math.min(ROOMS_OF_A_CLIENT, rooms.length) }, (_, k) => rooms[(i + k) % rooms.length] as string),
    )
    await Promise.all(clients.map((client, i) => Promise.all((roomsOf[i] as string[]).map((room) => client.join(room)))))
    const followers = await Promise.all(clients.map((client) => Follower.start(client)))
    const members = clients.map((client, i) => ({
      client,
      rooms: roomsOf[i] as string[],
      follower: followers[i] as Follower,
      asking: undefined,
    }))
    const load = new SteadyLoad(options, counts, rooms, members)
    load.resume()
    return load
  }

  /** Messages that were acknowledged. */
  get acknowledged(): number {
    return this.#acknowledged.length
  }

  resume(): void {
    if (this.#running) return
    this.#running = true
    for (const member of this.#members) this.#working.set(member, this.#write(member))
  }

  /** Resolves once nothing that was sent is without its answer. Clients go on syncing. */
  async pause(): Promise<void> {
    this.#running = false
    await Promise.all(this.#working.values())
  }

  /** How long it took from `since` on until everything went on. @throws Error when it does not within a minute */
  async recovery(since: number): Promise<Recovery> {
    const deadline = since + RECOVERY_MS
    const acks = () => this.#acknowledged.filter((one) => one.begunAt >= since)
    await this.#until('a message is acknowledged', () => acks().length > 0, deadline)
    const firstSend = Math.min(...acks().map((one) => one.at)) - since
    const heard = () => new Set(acks().map((one) => senderOf(one.body)))
    await this.#until(
      'every client has a message acknowledged',
      () => heard().size === this.#members.length,
      deadline,
      () => this.#silent(heard()),
    )
    const everySend = performance.now() - since
    await Promise.all(
      this.#members.map(({ follower, rooms }) => {
        const candidates = acks().filter((one) => rooms.includes(one.roomId))
        const seen = () => candidates.some((one) => follower.room(one.roomId).has(one.eventId))
        return follower.waitFor('a message that was sent after the fault', seen, Math.max(0, deadline - performance.now()))
      }),
    )
    return { firstSend, everySend, everySync: performance.now() - since }
  }

  /** Stops writing, lets everybody catch up, and says everything that is wrong; writes on afterwards. */
  async faults(): Promise<string[]> {
    await this.pause()
    const faults = this.counts.notAbsorbed.splice(0).map((what) => `not absorbed: ${what}`)
    for (const roomId of this.#rooms) faults.push(...(await this.#faultsOf(roomId)))
    this.resume()
    return faults
  }

  async stop(): Promise<void> {
    await this.pause()
    await Promise.all(this.#members.map(({ follower }) => follower.stop()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  async #faultsOf(roomId: string): Promise<string[]> {
    const members = this.#members.filter(({ rooms }) => rooms.includes(roomId))
    const history = await (members[0] as Member).client.history(roomId)
    const faults: string[] = []
    const bodies = new Map<string, string[]>()
    for (const event of history) {
      if (event.type === 'm.room.message') upsert(bodies, String(event.content.body), event.event_id)
    }
    for (const [body, ids] of bodies) if (ids.length > 1) faults.push(`${body} is there ${ids.length} times: ${ids.join(' ')}`)
    for (const { body, eventId, roomId: at } of this.#acknowledged) {
      if (at === roomId && !bodies.get(body)?.includes(eventId)) faults.push(`${body} was acknowledged as ${eventId}, and is not there`)
    }
    const last = history.at(-1) as ClientEvent
    const order = history.map((event) => event.event_id)
    for (const { client, follower } of members) {
      try {
        await follower.waitFor('the last event', () => follower.room(roomId).has(last.event_id))
      } catch (error) {
        faults.push(`${client.userId}: ${error}`)
        continue
      }
      const { events, repeated } = follower.room(roomId)
      const seen = events.map((event) => event.event_id)
      const wanted = order.slice(order.indexOf(seen[0] as string))
      const at = seen.findIndex((id, index) => id !== wanted[index])
      if (at >= 0) faults.push(`${client.userId} saw ${seen[at]} where ${wanted[at]} is`)
      else if (seen.length !== wanted.length) faults.push(`${client.userId} saw ${seen.length} of ${wanted.length} events`)
      if (repeated.length > 0) faults.push(`${client.userId} saw again: ${repeated.join(' ')}`)
    }
    return faults
  }

  /** Who has not been answered, and what they wait for. */
  #silent(heard: ReadonlySet<string>): string {
    const silent = this.#members.filter(({ client }) => !heard.has(client.userId))
    return silent
      .map(
        ({ client, asking }) =>
          `${client.userId}: ${asking === undefined ? 'asks nothing' : `${asking.what} for ${Math.round(performance.now() - asking.since)} ms`}`,
      )
      .join(', ')
  }

  /** Messages one after another, now and then a receipt and a typing notice, as a person's client sends them. */
  async #write(member: Member): Promise<void> {
    const { client, rooms } = member
    const ask = async <T>(what: string, answer: Promise<T>): Promise<T> => {
      member.asking = { what, since: performance.now() }
      return await answer.finally(() => {
        member.asking = undefined
      })
    }
    for (let i = 0; this.#running; i++) {
      const roomId = rooms[i % rooms.length] as string
      const body = `${client.userId} ${this.#number++}`
      const begunAt = performance.now()
      try {
        const eventId = await ask('a message', client.message(roomId, body))
        this.#acknowledged.push({ roomId, eventId, body, begunAt, at: performance.now() })
        this.#sent.ring()
        const room = `/rooms/${encodeURIComponent(roomId)}`
        if (i % 8 === 3) await ask('a receipt', client.post(`${room}/receipt/m.read/${encodeURIComponent(eventId)}`))
        if (i % 8 === 6)
          await ask('typing', client.put(`${room}/typing/${encodeURIComponent(client.userId)}`, { typing: true, timeout: 5000 }))
      } catch (error) {
        this.counts.notAbsorbed.push(`${client.userId}: ${error}`)
      }
      await new Promise((resolve) => setTimeout(resolve, this.#options.paceMs * (0.5 + Math.random())))
    }
  }

  async #until(what: string, holds: () => boolean, deadline: number, state = () => ''): Promise<void> {
    while (!holds()) {
      const left = deadline - performance.now()
      if (left <= 0) throw new Error(`a minute passed and not yet: ${what} ${state()}`)
      await this.#sent.next(left)
    }
  }
}

function senderOf(body: string): string {
  return body.split(' ', 1)[0] as string
}

function upsert(map: Map<string, string[]>, key: string, value: string): void {
  const values = map.get(key)
  if (values === undefined) map.set(key, [value])
  else values.push(value)
}
