import { MAX_PREV_EVENTS, MatrixError, type RoomVersion, type Signer } from '@weft/matrix'
import { type BoundSql, type EventsReader, isUniqueViolation, type RoomRow } from '@weft/storage'
import { appendEvent, type PreparedEvent, type Proposal } from './append-event.ts'
import { buildReplacement, buildRoom, type Replacement } from './build-room.ts'
import { type CommitLoop, NotCommitted } from './commit-loop.ts'
import { type FirstFormat, NotPrepared } from './first-format.ts'
import type { HeadCache } from './head-cache.ts'
import type { IdSource } from './ids.ts'
import type { ForkedSends } from './receive/forked-sends.ts'
import { withGate } from './receive/gate.ts'
import type { RoomHead } from './room-head.ts'
import type { StateKeys } from './state-keys.ts'
import { RecentTxns } from './txn-ids.ts'

/** A decision about a room, made on its head without waiting: an event to send, or one that is there already. */
export type Decision = Proposal | { readonly existing: string }

/** An event in a room. */
export interface SentEvent {
  readonly eventId: string
  readonly roomId: string
}

/** What an {@link EventWriter} stands on. */
export interface EventWriterOptions {
  readonly heads: HeadCache
  readonly loop: CommitLoop
  readonly events: EventsReader
  readonly stateKeys: StateKeys
  readonly firstFormat: FirstFormat
  readonly eventNids: IdSource
  readonly roomNids: IdSource
  readonly signer: Signer
  /** Sends where a room has more forks than an event can name. */
  readonly forks: Pick<ForkedSends, 'send'>
  /** Throws unless this process is the active writer: asked before a refusal, which memory alone may not give. */
  readonly confirmWriter: () => Promise<void>
}

const MAX_ATTEMPTS = 4

/**
 * The one way an event of this server gets into a room: head, decision, auth, building, commit. A warm send runs from its
 * decision to the commit queue without waiting and without a statement; the commit shares its round trip with all others.
 */
export class EventWriter {
  readonly #options: EventWriterOptions
  readonly #txns = new RecentTxns()
  readonly #tools: Pick<EventWriterOptions, 'signer' | 'stateKeys' | 'firstFormat'>

  constructor(options: EventWriterOptions) {
    this.#options = options
    this.#tools = { signer: options.signer, stateKeys: options.stateKeys, firstFormat: options.firstFormat }
  }

  /**
   * Sends one event. `decide` runs on the head just before building, and again when an attempt could not be committed.
   * @param keys the (type, state key) of the state event that `decide` may propose
   * @throws MatrixError M_NOT_FOUND for an unknown room, M_FORBIDDEN, M_TOO_LARGE, M_BAD_JSON, and what `decide` throws
   */
  async send(
    roomId: string,
    decide: (head: RoomHead) => Decision,
    keys: ReadonlyArray<readonly [string, string]> = [],
  ): Promise<SentEvent> {
    return this.#attempts(async (alone) => {
      this.#refuseWhenFull()
      const head = this.#options.heads.cached(roomId) ?? (await this.#options.heads.get(roomId))
      const missing = keys.some(([type, stateKey]) => this.#options.stateKeys.known(type, stateKey) === undefined)
      if (missing) await this.#options.stateKeys.prepare(keys)
      const eventNid = await this.#number(this.#options.eventNids)
      while (head.gate !== undefined) await head.gate
      // Nothing waits from here to the queue: the head that was judged is the head that is moved on.
      if (head.stale) throw new NotPrepared('the head went stale')
      if (head.extremities.length > MAX_PREV_EVENTS) return { eventId: await this.#options.forks.send(head, decide, alone), roomId }
      const decision = decide(head)
      if ('existing' in decision) return { eventId: decision.existing, roomId }
      const event = appendEvent(head, decision, { ...this.#tools, eventNid })
      await this.#commit(head, [event], { alone })
      return { eventId: event.built.eventId, roomId }
    })
  }

  /**
   * As {@link send}, once per transaction key: a retry gets the event of the first request, across restarts too.
   * @param guard stands around the sending, where more has to be asked than `decide` can
   */
  sendOnce(
    key: Buffer,
    roomId: string,
    decide: (head: RoomHead) => Decision,
    guard?: (send: () => Promise<SentEvent>) => Promise<SentEvent>,
  ): Promise<string> {
    return this.#txns.once(key, async () => {
      try {
        return (await (guard === undefined ? this.send(roomId, decide) : guard(() => this.send(roomId, decide)))).eventId
      } catch (error) {
        // The key was used before this process began to remember.
        const cause = error instanceof NotCommitted ? error.cause : error
        if (!isUniqueViolation(cause, 'event_txn_ids_pkey') && !(guard !== undefined && error instanceof MatrixError)) throw error
        const [row] = await this.#options.events.byTxnKeys([key])
        if (row === undefined) throw error
        return row.event_id
      }
    })
  }

  /** Looks at a room's head without changing it. @throws MatrixError M_NOT_FOUND */
  async inspect(roomId: string, look: (head: RoomHead) => void): Promise<void> {
    look(await this.#options.heads.get(roomId))
  }

  /**
   * Creates a room with its first events, in one transaction.
   * @param roomIdOf gives the room id, where it is not the hash of the create event
   * @param proposals made anew for each attempt; the first is the create event
   */
  async createRoom(options: {
    version: RoomVersion
    creator: string
    makeRoomId: () => string
    proposals: (roomId: string) => Proposal[]
    extra?: (roomNid: number) => BoundSql[]
  }): Promise<{ roomId: string; roomNid: number; eventIds: string[] }> {
    return this.#attempts(async (alone) => {
      this.#refuseWhenFull()
      const roomNid = await this.#number(this.#options.roomNids)
      const proposals = options.proposals('')
      await this.#prepareKeys(proposals)
      const draft = options.version.roomIdIsCreateHash ? '' : options.makeRoomId()
      const nextNid = await this.#takeNids(proposals.length)
      const { head, events } = buildRoom({ roomNid, draft, version: options.version }, proposals, this.#tools, nextNid)
      const newRoom = {
        roomNid,
        roomId: head.roomId,
        roomVersion: options.version.id,
        creator: options.creator,
      }
      await this.#commit(head, events, { alone, newRoom, extra: options.extra?.(roomNid) })
      this.#options.heads.keep(head)
      return { roomId: head.roomId, roomNid, eventIds: events.map((event) => event.built.eventId) }
    })
  }

  /**
   * Puts a new room in the place of another: the first events of the one and the last of the other in one transaction, all or none.
   * Nothing else is sent to the old room meanwhile.
   * @param plan looks at the old room and decides; what it throws ends the matter
   * @throws MatrixError M_NOT_FOUND, M_FORBIDDEN, and what `plan` throws
   */
  async replaceRoom(options: {
    roomId: string
    plan: (old: RoomHead) => Replacement
    makeRoomId: () => string
    extra: (oldNid: number, newNid: number) => BoundSql[]
  }): Promise<{ roomId: string; roomNid: number }> {
    const { heads, loop } = this.#options
    return this.#attempts(async (alone) => {
      this.#refuseWhenFull()
      return withGate(await heads.get(options.roomId), heads, async ({ head: old }) => {
        if (old.stale) throw new NotPrepared('the head went stale')
        const plan = options.plan(old)
        const proposals = [...plan.first(undefined), plan.tombstone(''), ...plan.after]
        await this.#prepareKeys(proposals)
        const roomNid = await this.#number(this.#options.roomNids)
        const nextNid = await this.#takeNids(proposals.length)
        const draft = plan.version.roomIdIsCreateHash ? '' : options.makeRoomId()
        try {
          const { head, events, oldEvents } = await buildReplacement(old, { roomNid, draft }, plan, this.#tools, nextNid)
          const { roomId } = head
          const newRoom = { roomNid, roomId, roomVersion: plan.version.id, creator: plan.creator }
          const extra = options.extra(old.roomNid, roomNid)
          await loop.commit({ head, events, newRoom, extra, alone, with: { head: old, events: oldEvents } })
          heads.keep(head)
          heads.keep(old)
          return { roomId, roomNid }
        } catch (error) {
          // The old head may be ahead of what will ever be committed.
          heads.drop(old)
          throw error
        }
      })
    })
  }

  async #prepareKeys(proposals: readonly Proposal[]): Promise<void> {
    const keys = proposals.flatMap(({ type, stateKey }) => (stateKey === undefined ? [] : [[type, stateKey] as const]))
    await this.#options.stateKeys.prepare(keys)
  }

  async #takeNids(n: number): Promise<() => number> {
    const nids = (await this.#options.eventNids.take(n)).values()
    return () => nids.next().value as number
  }

  /** Runs an attempt again while it is not to blame for its failure; confirms a refusal before it goes out. */
  async #attempts<T>(attempt: (alone: boolean) => Promise<T>): Promise<T> {
    let alone = false
    for (let n = 1; ; n++) {
      try {
        return await attempt(alone)
      } catch (error) {
        const again = error instanceof NotPrepared || (error instanceof NotCommitted && !error.alone)
        if (again && n < MAX_ATTEMPTS) {
          if (error instanceof NotPrepared) await error.prepare?.()
          alone = error instanceof NotCommitted
          continue
        }
        if (error instanceof MatrixError && (error.status === 403 || error.status === 404)) await this.#options.confirmWriter()
        throw error
      }
    }
  }

  async #commit(
    head: RoomHead,
    events: readonly PreparedEvent[],
    options: { alone: boolean; newRoom?: RoomRow; extra?: readonly BoundSql[] },
  ): Promise<void> {
    const committed = this.#options.loop.commit({ head, events, ...options })
    if (options.newRoom === undefined && events.some((event) => event.change !== undefined)) this.#options.heads.keep(head)
    await committed
  }

  #refuseWhenFull(): void {
    if (this.#options.loop.full) {
      throw new MatrixError('M_UNKNOWN', 'The server is overloaded; try again later', { status: 503, headers: { 'Retry-After': '2' } })
    }
  }

  async #number(source: IdSource): Promise<number> {
    return (source.tryTake(1) ?? (await source.take(1)))[0] as number
  }
}
