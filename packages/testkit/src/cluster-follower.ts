import { Bell } from './bell.ts'
import { ApiError, type ClientEvent, type JoinedRoom, type Json, type SyncAnswer, type TestClient } from './cluster-client.ts'

const POLL_MS = 30_000
const WAIT_MS = 30_000

/** What a client knows of one room, gathered from its syncs as a real client gathers it. */
export class FollowedRoom {
  /** In the order of the timeline, each once; what came twice is counted in `repeated`. */
  readonly events: ClientEvent[] = []
  readonly state = new Map<string, ClientEvent>()
  readonly accountData = new Map<string, Json>()
  readonly receipts: Json[] = []
  repeated: string[] = []
  typing: readonly string[] = []
  readonly #ids = new Set<string>()

  has(eventId: string): boolean {
    return this.#ids.has(eventId)
  }

  note(event: ClientEvent): void {
    if (this.#ids.has(event.event_id)) {
      this.repeated.push(event.event_id)
      return
    }
    this.#ids.add(event.event_id)
    this.events.push(event)
    this.noteState(event)
  }

  noteState(event: ClientEvent): void {
    if (event.state_key !== undefined) this.state.set(JSON.stringify([event.type, event.state_key]), event)
  }

  stateEvent(type: string, stateKey = ''): ClientEvent | undefined {
    return this.state.get(JSON.stringify([type, stateKey]))
  }
}

/** How a {@link Follower} syncs. */
export interface FollowerOptions {
  /** Told of a /sync that failed. Returning goes on (after whatever wait it made); throwing ends the loop. */
  readonly onError?: (error: unknown, failures: number) => Promise<void>
  readonly filter?: object
}

/**
 * A client's sync loop: long polls one after another, fills the gaps of limited timelines by /messages, and keeps what it saw.
 * An error ends it, unless `onError` knows better; `waitFor` then throws it.
 */
export class Follower {
  readonly rooms = new Map<string, FollowedRoom>()
  readonly left = new Set<string>()
  readonly invites = new Map<string, readonly ClientEvent[]>()
  readonly accountData = new Map<string, Json>()
  readonly toDevice: { readonly type: string; readonly sender: string; readonly content: Json }[] = []
  readonly #client: TestClient
  readonly #options: FollowerOptions
  readonly #stopping = new AbortController()
  readonly #bell = new Bell()
  #since: string | undefined
  #failure: unknown
  #ended = false
  #loop: Promise<void>

  private constructor(client: TestClient, options: FollowerOptions) {
    this.#client = client
    this.#options = options
    this.#loop = Promise.resolve()
  }

  /** Makes the first sync, and begins to follow. */
  static async start(client: TestClient, options: FollowerOptions = {}): Promise<Follower> {
    const follower = new Follower(client, options)
    await follower.#once(0)
    follower.#loop = follower.#run()
    return follower
  }

  get since(): string {
    return this.#since ?? ''
  }

  /** Why it ended by itself, or undefined. */
  get failure(): unknown {
    return this.#failure
  }

  room(roomId: string): FollowedRoom {
    let room = this.rooms.get(roomId)
    if (room === undefined) {
      room = new FollowedRoom()
      this.rooms.set(roomId, room)
    }
    return room
  }

  /** Resolves once `holds` is true, which is asked after each answer. @throws the error that ended the loop, or one that names `what` */
  async waitFor(what: string, holds: (follower: this) => boolean, timeoutMs = WAIT_MS): Promise<void> {
    const deadline = performance.now() + timeoutMs
    while (!holds(this)) {
      if (this.#failure !== undefined) throw this.#failure
      const left = deadline - performance.now()
      if (left <= 0 || this.#ended) throw new Error(`${this.#client.userId} never saw ${what}`)
      await this.#bell.next(left)
    }
  }

  /** Resolves once the loop has ended by itself, to its error. */
  async end(): Promise<unknown> {
    await this.#loop
    return this.#failure
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#loop
  }

  async #run(): Promise<void> {
    let failures = 0
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#once(POLL_MS)
        failures = 0
      } catch (error) {
        if (this.#stopping.signal.aborted) break
        try {
          if (this.#options.onError === undefined) throw error
          await this.#options.onError(error, ++failures)
        } catch (fatal) {
          this.#failure = fatal
          break
        }
      }
      this.#bell.ring()
    }
    this.#ended = true
    this.#bell.ring()
  }

  async #once(timeoutMs: number): Promise<void> {
    const { signal } = this.#stopping
    const answer = await this.#client.sync({
      since: this.#since,
      timeoutMs,
      signal,
      ...(this.#options.filter && { filter: this.#options.filter }),
    })
    const joined = Object.entries(answer.rooms?.join ?? {})
    const gaps = new Map<string, ClientEvent[]>()
    for (const [roomId, { timeline }] of joined) {
      if (timeline?.limited === true && this.#since !== undefined) gaps.set(roomId, await this.#gap(roomId, this.room(roomId), timeline))
    }
    // From here on nothing fails: an answer is taken as a whole, or asked for again.
    for (const [roomId, part] of joined) this.#joined(roomId, part, gaps.get(roomId) ?? [])
    this.#take(answer)
    this.#since = answer.next_batch
  }

  #take(answer: SyncAnswer): void {
    for (const [roomId, { invite_state }] of Object.entries(answer.rooms?.invite ?? {})) this.invites.set(roomId, invite_state.events)
    for (const [roomId, { timeline }] of Object.entries(answer.rooms?.leave ?? {})) {
      this.left.add(roomId)
      this.invites.delete(roomId)
      for (const event of timeline?.events ?? []) this.room(roomId).note(event)
    }
    for (const { type, content } of answer.account_data?.events ?? []) this.accountData.set(type, content)
    this.toDevice.push(...(answer.to_device?.events ?? []))
  }

  #joined(roomId: string, { timeline, state, ephemeral, account_data }: JoinedRoom, missed: readonly ClientEvent[]): void {
    const room = this.room(roomId)
    this.left.delete(roomId)
    this.invites.delete(roomId)
    for (const event of state?.events ?? []) room.noteState(event)
    for (const event of [...missed, ...(timeline?.events ?? [])]) room.note(event)
    for (const { type, content } of account_data?.events ?? []) room.accountData.set(type, content)
    for (const { type, content } of ephemeral?.events ?? []) {
      if (type === 'm.typing') room.typing = content.user_ids as string[]
      if (type === 'm.receipt') room.receipts.push(content)
    }
  }

  /** Events between what is known of a room and a timeline that was cut, oldest first. */
  async #gap(roomId: string, room: FollowedRoom, timeline: NonNullable<JoinedRoom['timeline']>): Promise<ClientEvent[]> {
    const missed: ClientEvent[] = []
    let from = timeline.prev_batch
    while (from !== undefined) {
      const page = await this.#client.messages(roomId, { dir: 'b', limit: '500', from })
      for (const event of page.chunk) {
        if (room.has(event.event_id)) return missed.reverse()
        missed.push(event)
      }
      from = page.end
    }
    return missed.reverse()
  }
}

/** True for the answer that logs a client out. */
export function isLoggedOut(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401
}
