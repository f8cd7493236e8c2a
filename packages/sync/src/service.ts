import { setImmediate as turn } from 'node:timers/promises'
import type { Clock, Timer } from '@weft/kernel'
import { MatrixError, type SyncFilter } from '@weft/matrix'
import { decodeSyncToken, encodeSyncToken } from '@weft/replication'
import type { AggregationReaders, SyncReader } from '@weft/storage'
import { loadAccountData } from './account-data.ts'
import type { SyncEngine } from './engine.ts'
import { FilterSource, type StoredFilters } from './filter-source.ts'
import { Gate } from './gate.ts'
import { hydrate } from './hydrate.ts'
import { LazyMembers } from './lazy-members.ts'
import { pathsOf } from './membership-path.ts'
import type { SyncObserver } from './metrics.ts'
import { BEGINNING, type Positions, type StreamClock, WAITED_FOR } from './positions.ts'
import { eventForms, presentV3, RoomSections } from './present-v3.ts'
import { lazyDevice } from './room-state.ts'
import { type RoomWork, release, type SyncScope } from './room-work.ts'
import { type ColdMemberships, skeleton } from './skeleton.ts'
import { SummaryReader } from './summaries.ts'
import { inboxPosition, inboxWork, loadToDevice } from './to-device.ts'
import type { UserView, WakeReason } from './user-view.ts'
import { ViewLoader } from './view-loader.ts'

/** A GET /sync, its parameters as they came. */
export interface SyncRequest {
  readonly userId: string
  readonly deviceId: string | undefined
  readonly accessTokenId: number
  readonly since: string | undefined
  readonly filter: string | undefined
  readonly fullState: boolean
  readonly useStateAfter: boolean
  /** Milliseconds to wait for news; more than {@link MAX_TIMEOUT_MS} is cut. */
  readonly timeoutMs: number
  /** Aborted when the client goes away or the process drains: the answer comes at once then. */
  readonly signal: AbortSignal
  /** Whether the client has gone away: nobody would read the answer. */
  readonly isGone: () => boolean
}

export interface SyncLog {
  warn(fields: object, message: string): void
}

/** What {@link SyncService} stands on. */
export interface SyncServiceOptions {
  readonly engine: SyncEngine
  readonly reader: SyncReader
  readonly aggregations: AggregationReaders
  readonly filters: StoredFilters
  readonly streams: StreamClock
  readonly clock: Clock
  readonly log: SyncLog
  readonly observer: SyncObserver
}

/** Longest wait of a request, whatever it asks for. */
export const MAX_TIMEOUT_MS = 180_000
/** How long a token from another process may be ahead of this one before its truth is asked for. */
const AHEAD_PATIENCE_MS = 500
/** A request that does not wait itself still waits so long for what another process has shown its client. */
const AHEAD_WAIT_MS = 2000
const SWEEP_MS = 30_000
/** Initial and cold syncs at a time: each may hold the text of all rooms of a user. */
const COLD_SYNCS = 4
/** Rooms that are loaded and written down together: what an answer holds beside its text is bounded by them. */
const ROOMS_AT_A_TIME = 500

interface Waited {
  readonly reason: WakeReason
}

/**
 * GET /sync: finds out what a device has not seen, waits for it if need be, and answers.
 * Spec: client-server API, "Syncing".
 */
export class SyncService {
  readonly #options: SyncServiceOptions
  readonly #filters: FilterSource
  readonly #views: ViewLoader
  readonly #lazy = new LazyMembers()
  readonly #summaries: SummaryReader
  readonly #gate: Gate
  #waiting = 0
  #sweep: Timer | undefined

  constructor(options: SyncServiceOptions) {
    this.#options = options
    this.#filters = new FilterSource(options.filters)
    this.#views = new ViewLoader(options)
    this.#summaries = new SummaryReader(options.reader)
    this.#gate = new Gate(COLD_SYNCS)
  }

  /** Requests that wait for news. */
  get waiting(): number {
    return this.#waiting
  }

  /** Initial and cold syncs that wait for their turn. */
  get queued(): number {
    return this.#gate.queued
  }

  /** Bytes of what devices are remembered to know of their rooms' members. */
  get lazyMemberBytes(): number {
    return this.#lazy.bytes
  }

  /** Begins to drop, each half minute, what was not used for long. */
  start(): void {
    const { clock, engine } = this.#options
    this.#sweep = clock.setInterval(() => engine.sweep(clock.monotonic()), SWEEP_MS)
  }

  /** Ends that. Requests that wait are ended by their signals. */
  stop(): void {
    this.#sweep?.cancel()
  }

  /**
   * The answer as JSON text.
   * @throws MatrixError M_INVALID_PARAM for a `since` or filter id that is none; M_UNKNOWN_TOKEN when the session ends meanwhile
   */
  async sync(request: SyncRequest): Promise<string> {
    const { clock } = this.#options
    const deadline = clock.monotonic() + Math.min(Math.max(request.timeoutMs, 0), MAX_TIMEOUT_MS)
    const found = this.#filters.find(request.userId, request.filter)
    const filter = found instanceof Promise ? await found : found
    let since: Positions | undefined
    if (request.since !== undefined) {
      const token = parseToken(request.since)
      since = this.#isAhead(token) ? await this.#catchUp(token, request) : token
      if (since === undefined) return `{"next_batch":${JSON.stringify(request.since)}}`
    }
    if (since === undefined && request.deviceId !== undefined) this.#lazy.forget(JSON.stringify([request.userId, request.deviceId]))
    const known = this.#options.engine.views.get(request.userId)
    const view = known ?? (await this.#views.load(request.userId))
    view.active++
    try {
      // What ended the session while the view was on its way was told to nobody.
      if (known === undefined) await this.#requireSession(request)
      return await this.#poll(view, request, filter, since, deadline)
    } finally {
      view.active--
      view.lastUsed = clock.monotonic()
    }
  }

  async #poll(view: UserView, request: SyncRequest, filter: SyncFilter, from: Positions | undefined, deadline: number): Promise<string> {
    const { clock, streams } = this.#options
    let since = from
    for (;;) {
      const { version } = view
      const now = streams.now()
      const scope = this.#scope(view, request, filter, since, from, now)
      const left = deadline - clock.monotonic()
      const quiet = left > 0 && !request.signal.aborted ? quietAt(view, scope) : undefined
      if (quiet !== undefined) since = quiet
      else {
        const answer = await this.#answer(view, scope, request)
        const over = deadline - clock.monotonic() <= 0 || request.signal.aborted
        if (!answer.empty || since === undefined || request.fullState || over) return answer.text
        // Nothing in (since, now]: the client stands at `now`, and what comes next is in memory.
        since = answer.positions
      }
      if (view.version !== version) continue
      const { reason } = await this.#wait(view, request, deadline - clock.monotonic())
      if (reason === 'session') await this.#requireSession(request)
      if (reason !== 'news') return `{"next_batch":${JSON.stringify(encodeSyncToken(since))}}`
    }
  }

  #scope(
    view: UserView,
    request: SyncRequest,
    filter: SyncFilter,
    since: Positions | undefined,
    from: Positions | undefined,
    now: Positions,
  ): SyncScope {
    return {
      userId: request.userId,
      deviceId: request.deviceId,
      since: since && { ...since, typing: Math.min(since.typing, now.typing) },
      held: from?.events ?? -1,
      now,
      ts: this.#options.clock.now(),
      filter,
      fullState: request.fullState,
      stateAfter: request.useStateAfter,
      ignored: view.ignored,
      blocksInvites: view.blocksInvites,
    }
  }

  async #answer(
    view: UserView,
    scope: SyncScope,
    { isGone }: SyncRequest,
  ): Promise<{ readonly text: string; readonly empty: boolean; readonly positions: Positions }> {
    const cold = scope.since === undefined || scope.fullState || scope.since.events < view.floor.events
    this.#options.observer.answered(scope.since === undefined ? 'initial' : cold ? 'cold' : 'warm')
    if (!cold) return await this.#assemble(view, scope, false)
    return await this.#gate.run(
      () => this.#assemble(view, scope, true),
      () => !isGone(),
    )
  }

  async #assemble(view: UserView, scope: SyncScope, cold: boolean) {
    const { reader, engine, aggregations } = this.#options
    const memberships = cold ? await this.#coldMemberships(view, scope) : WARM
    const works = skeleton(view, scope, memberships)
    const data = loadAccountData(works, view, scope, reader)
    const accountData = data instanceof Promise ? await data : data
    const rooms = new RoomSections()
    const deps = { reader, store: engine.store, lazy: this.#lazy, summaries: this.#summaries, aggregations }
    for (let from = 0; from < works.length; from += ROOMS_AT_A_TIME) {
      const batch = works.length <= ROOMS_AT_A_TIME ? works : works.slice(from, from + ROOMS_AT_A_TIME)
      await hydrate(batch, scope, deps)
      // Looking through 20,000 members and writing them down take 15 ms each where nothing is compiled yet.
      if (cold) await turn()
      const { eventFormat, eventFields } = scope.filter
      const forms = eventFormat === 'client' && eventFields === undefined ? undefined : await eventForms(batch, scope, reader.events)
      rooms.add(batch, scope, forms)
      if (scope.filter.room.state.lazyLoadMembers) this.#noteMembers(batch, scope)
      for (const work of batch) release(work)
    }
    const page = loadToDevice(view, scope, reader)
    const toDevice = page instanceof Promise ? await page : page
    const positions = { ...scope.now, toDevice: toDevice.position }
    const { text, empty } = presentV3({ nextBatch: encodeSyncToken(positions), rooms, accountData, toDevice })
    return { text, empty, positions }
  }

  async #coldMemberships(view: UserView, scope: SyncScope): Promise<ColdMemberships> {
    const { reader } = this.#options
    const { userId, since, now, filter } = scope
    const whole = since === undefined || scope.fullState
    const [changed, left] = await Promise.all([
      since !== undefined && since.events < view.floor.events ? reader.membershipChanges(userId, since.events, now.events) : undefined,
      whole && filter.room.includeLeave ? reader.leftRooms(userId, now.events) : [],
    ])
    return { changed: changed && pathsOf(changed), left: pathsOf(left) }
  }

  #noteMembers(works: readonly RoomWork[], scope: SyncScope): void {
    const device = lazyDevice(scope)
    if (device === undefined) return
    for (const work of works) {
      if (work.section !== 'join') continue
      for (const { facts } of [...work.state, ...work.timeline]) {
        if (facts.type === 'm.room.member' && facts.stateKey !== undefined) {
          this.#lazy.sent(device, work.roomNid, facts.stateKey, facts.nid, scope.now.events)
        }
      }
    }
  }

  #wait(view: UserView, request: SyncRequest, ms: number): Promise<Waited> {
    const { clock } = this.#options
    if (request.signal.aborted) return Promise.resolve({ reason: 'end' })
    this.#waiting++
    return new Promise<Waited>((resolve) => {
      const wake = (reason: WakeReason) => {
        if (!view.waiters.delete(waiter)) return
        this.#waiting--
        timer.cancel()
        request.signal.removeEventListener('abort', end)
        resolve({ reason })
      }
      const waiter = { deviceId: request.deviceId, wake }
      const end = () => wake('end')
      const timer = clock.setTimeout(() => wake('timeout'), ms)
      request.signal.addEventListener('abort', end, { once: true })
      view.waiters.add(waiter)
    })
  }

  /** Memory never refuses: whether the session is over, PostgreSQL says. */
  async #requireSession(request: SyncRequest): Promise<void> {
    if (await this.#options.reader.sessionLives(request.accessTokenId)) return
    throw new MatrixError('M_UNKNOWN_TOKEN', 'The session has ended', { fields: { soft_logout: false } })
  }

  #isAhead(since: Positions): boolean {
    const now = this.#options.streams.now()
    return WAITED_FOR.some((stream) => since[stream] > now[stream])
  }

  /**
   * Waits for what another process has shown this client already. Where it does not come, `undefined`: the answer is the client's own
   * token. What is ahead of all that was ever handed out (a restored backup) is lowered to the present.
   */
  async #catchUp(since: Positions, request: SyncRequest): Promise<Positions | undefined> {
    const { streams, log, observer } = this.#options
    let positions = since
    for (const stream of WAITED_FOR) {
      if (await streams.waitFor(stream, since[stream], AHEAD_PATIENCE_MS, request.signal)) continue
      if (since[stream] > (await streams.everHandedOut(stream))) {
        log.warn(
          { userId: request.userId, stream, since: since[stream] },
          'a sync token is ahead of the whole history: lowered to the present',
        )
        observer.lowered()
        positions = { ...positions, [stream]: streams.now()[stream] }
      } else {
        const wait = Math.min(Math.max(request.timeoutMs, AHEAD_WAIT_MS), MAX_TIMEOUT_MS)
        if (!(await streams.waitFor(stream, since[stream], wait, request.signal))) return undefined
      }
    }
    return positions
  }
}

/**
 * Where a client stands for whom memory has nothing since its token, and PostgreSQL need not be asked; undefined where it takes an answer
 * to know. Most polls come back like this, right after the answer of the one before.
 */
function quietAt(view: UserView, scope: SyncScope): Positions | undefined {
  const { since, now } = scope
  if (since === undefined || scope.fullState || !view.isQuietSince(since)) return undefined
  const { clear, read } = inboxWork(view, scope)
  return clear || read ? undefined : { ...now, toDevice: inboxPosition(scope) }
}

const WARM: ColdMemberships = { changed: undefined, left: new Map() }

/** @throws MatrixError M_INVALID_PARAM */
function parseToken(token: string): Positions {
  const decoded = decodeSyncToken(token)
  if (decoded === undefined) throw new MatrixError('M_INVALID_PARAM', 'since is not a token of this server')
  return { ...BEGINNING, ...decoded.positions }
}
