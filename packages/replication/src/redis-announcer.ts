import { setImmediate as turn } from 'node:timers/promises'
import { type Clock, pause } from '@weft/kernel'
import type { Redis } from 'ioredis'
import { bytesOf, encodeEntry, type OutgoingEntry, type WireEntry } from './announcement.ts'
import type { Announcer, Follower, Following, ReplicationLog, ReplicationObserver } from './announcer.ts'
import { blockMs, keyPrefix, type RedisConnections, whenReady } from './redis.ts'

/** What the Redis stream holds at most (its memory in Redis is up to twice that): some seconds of a busy server, re-read after a reconnect. */
export const streamBytes = 16 * 1024 * 1024
/** Entries on their way to a Redis that answers slowly; beyond this they are dropped, and are gaps. */
const inFlightBytes = 16 * 1024 * 1024
const entriesPerRead = 64
const retryMs = 200
/**
 * A follower that nobody waits for reads so often: an entry at a time costs a process 0.4 ms each, which under 40 events a second for
 * others is more than 1 % of a core, and falls into the moment when the processes that somebody waits for need the machine.
 */
const restMs = 100
/** After so many empty answers (some 2 s, where a heartbeat comes each second) the reader looks whether its place is still there. */
const quietReads = 8

/** What {@link RedisAnnouncer} stands on. */
export interface RedisAnnouncerOptions {
  readonly redis: RedisConnections
  readonly serverName: string
  readonly clock: Clock
  readonly log: ReplicationLog
  readonly observer: ReplicationObserver
  /** Default `streamBytes`. */
  readonly maxBytes?: number
}

/** Announcements over one Redis stream key per server name, so that order across streams holds. */
export class RedisAnnouncer implements Announcer {
  readonly #options: RedisAnnouncerOptions
  readonly #key: string
  readonly #window: TrimWindow
  readonly #readers = new Set<RedisReader>()
  #publisher: Redis | undefined
  #inFlight = 0

  constructor(options: RedisAnnouncerOptions) {
    this.#options = options
    this.#key = `${keyPrefix(options.serverName)}stream`
    this.#window = new TrimWindow(options.maxBytes ?? streamBytes)
  }

  publish(entry: OutgoingEntry): void {
    const { observer } = this.#options
    const wire = encodeEntry(entry)
    const bytes = bytesOf(wire)
    const redis = this.#publishing()
    if (redis.status !== 'ready' || this.#inFlight + bytes > inFlightBytes) {
      observer.dropped(redis.status === 'ready' ? 'slow' : 'away')
      return
    }
    this.#inFlight += bytes
    const minId = this.#window.oldestToKeep()
    const trim = minId === undefined ? [] : ['MINID', '~', minId]
    redis
      .call('XADD', this.#key, ...trim, '*', ...wire)
      .then(
        (id) => {
          observer.published(1, bytes)
          this.#window.added(String(id), bytes)
        },
        () => observer.dropped('failed'),
      )
      .finally(() => {
        this.#inFlight -= bytes
      })
  }

  async follow(follower: Follower): Promise<Following> {
    const reader = new RedisReader(this.#key, follower, this.#options)
    this.#readers.add(reader)
    await reader.noteLast()
    return {
      begin: () => reader.begin(),
      attend: () => reader.attend(),
      stop: async () => {
        this.#readers.delete(reader)
        await reader.stop()
      },
    }
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#readers].map((reader) => reader.stop()))
    if (this.#publisher !== undefined) this.#options.redis.release(this.#publisher)
  }

  /** Only a process that announces opens the connection for it. */
  #publishing(): Redis {
    if (this.#publisher === undefined) {
      const redis = this.#options.redis.commands('announce')
      redis.on('ready', () => {
        this.#inherit(redis).catch((err) => this.#options.log.warn({ err }, 'the size of the Redis stream is not known'))
      })
      this.#publisher = redis
    }
    return this.#publisher
  }

  /** What a predecessor, or this process before a reconnect, left in the stream counts as one piece that goes as a whole. */
  async #inherit(redis: Redis): Promise<void> {
    const [last, bytes] = await Promise.all([lastId(redis, this.#key), redis.memory('USAGE', this.#key, 'SAMPLES', 0)])
    this.#window.inherited(last, Number(bytes ?? 0))
  }
}

/** Ids and sizes of what the stream holds, as far as this process put it there. */
class TrimWindow {
  readonly #maxBytes: number
  readonly #entries: { readonly id: string; readonly bytes: number }[] = []
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  inherited(last: string, bytes: number): void {
    this.#entries.length = 0
    this.#bytes = 0
    if (bytes > 0) this.added(last, bytes)
  }

  added(id: string, bytes: number): void {
    this.#entries.push({ id, bytes })
    this.#bytes += bytes
  }

  /** The id below which entries may go once there are too many bytes: a tenth at a time, so that most calls trim nothing. */
  oldestToKeep(): string | undefined {
    if (this.#bytes <= this.#maxBytes) return undefined
    let gone: string | undefined
    let count = 0
    for (const { id, bytes } of this.#entries) {
      if (this.#bytes <= this.#maxBytes * 0.9) break
      this.#bytes -= bytes
      count++
      gone = id
    }
    this.#entries.splice(0, count)
    return gone === undefined ? undefined : successor(gone)
  }
}

/** One follower's loop over XREAD BLOCK, on a connection of its own. */
class RedisReader {
  readonly #key: string
  readonly #follower: Follower
  readonly #options: RedisAnnouncerOptions
  readonly #stopping = new AbortController()
  readonly #redis: Redis
  #cursor: string | undefined
  #running: Promise<void> | undefined
  #rest: Rest | undefined

  constructor(key: string, follower: Follower, options: RedisAnnouncerOptions) {
    this.#key = key
    this.#follower = follower
    this.#options = options
    this.#redis = options.redis.blocking('follow')
  }

  /** Remembers where the stream ends now, if Redis is there within a second; else that is done once it is. */
  async noteLast(): Promise<void> {
    const soon = AbortSignal.any([AbortSignal.timeout(1000), this.#stopping.signal])
    await whenReady(this.#redis, soon)
    if (this.#redis.status !== 'ready') return
    try {
      this.#cursor = await lastId(this.#redis, this.#key)
    } catch (err) {
      this.#options.log.warn({ err }, 'the end of the Redis stream is not known yet')
    }
  }

  begin(): void {
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#options.redis.release(this.#redis)
    await this.#running
  }

  attend(): Promise<void> | undefined {
    this.#rest?.end()
    return this.#rest?.over
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping
    signal.addEventListener('abort', () => this.#awake())
    while (!signal.aborted) {
      try {
        await whenReady(this.#redis, signal)
        if (signal.aborted) return
        await this.#settleCursor()
        await this.#readOn(signal)
      } catch (err) {
        if (signal.aborted) return
        this.#options.log.debug({ err }, 'reading announcements was interrupted')
        this.#awake()
        await pause(this.#options.clock, retryMs)
      }
    }
  }

  /**
   * Before each stretch of reading. Without a cursor, begins at the end and has the follower read what it missed. A
   * stream that ends before the cursor was lost and begun anew (another Redis, or its clock went back): from its start.
   */
  async #settleCursor(): Promise<void> {
    const last = await lastId(this.#redis, this.#key)
    const known = this.#cursor
    if (known !== undefined && !isBefore(last, known)) return
    this.#cursor = known === undefined ? last : '0-0'
    await this.#follower.resync()
  }

  /**
   * Reads until the connection breaks, or for a while nothing came (which may mean that the ids began anew). While the follower is
   * calm it rests before each read, which takes what is there and does not wait for more.
   */
  async #readOn(signal: AbortSignal): Promise<void> {
    let quiet = 0
    while (!signal.aborted) {
      if (this.#follower.isCalm?.() === true) await this.#resting()
      const entries = await this.#read(this.#rest === undefined)
      this.#awake()
      quiet = entries > 0 ? 0 : quiet + 1
      if (quiet >= quietReads) return
      // Whom the entries wake is answered before more is asked for.
      if (entries > 0) await turn()
    }
  }

  /** Reads and applies what comes after the cursor, waiting a while for it or not; resolves to the number of entries. */
  async #read(wait: boolean): Promise<number> {
    const { signal } = this.#stopping
    const asked = this.#options.clock.monotonic()
    const waiting = wait ? ['BLOCK', blockMs] : []
    const reply = (await this.#redis.callBuffer('XREAD', 'COUNT', entriesPerRead, ...waiting, 'STREAMS', this.#key, this.#cursor!)) as
      | [Buffer, [Buffer, Buffer[]][]][]
      | null
    const entries = reply?.[0]?.[1] ?? []
    // What was in the stream when this was asked for is here, unless the answer is full. The answer itself may be old:
    // this process may have stood still while it waited in the socket.
    const asOf = entries.length < entriesPerRead ? asked : Number.NEGATIVE_INFINITY
    for (const [id, fields] of entries) {
      if (signal.aborted) break
      this.#options.observer.received(bytesOf(fields))
      const applied = this.#follower.apply(fields as WireEntry, asOf)
      if (applied !== undefined) await applied
      this.#cursor = id.toString('latin1')
    }
    return entries.length
  }

  async #resting(): Promise<void> {
    this.#rest = new Rest()
    using _ = this.#options.clock.setTimeout(this.#rest.end, restMs)
    await this.#rest.ended
  }

  /** What was announced during a rest has been heard, or nothing can be heard now. */
  #awake(): void {
    this.#rest?.finish()
    this.#rest = undefined
  }
}

/** From the end of one read to the end of the next. */
class Rest {
  readonly #ended = Promise.withResolvers<void>()
  readonly #over = Promise.withResolvers<void>()

  get ended(): Promise<void> {
    return this.#ended.promise
  }

  get over(): Promise<void> {
    return this.#over.promise
  }

  readonly end = (): void => this.#ended.resolve()

  finish(): void {
    this.#ended.resolve()
    this.#over.resolve()
  }
}

/** The id of the newest entry that the stream ever had; 0-0 for a stream that is not there. */
async function lastId(redis: Redis, key: string): Promise<string> {
  const info = await redis.call('XINFO', 'STREAM', key).catch((err: Error) => {
    if (/no such key/i.test(err.message)) return undefined
    throw err
  })
  if (!Array.isArray(info)) return '0-0'
  const at = info.indexOf('last-generated-id')
  return at < 0 ? '0-0' : String(info[at + 1])
}

function parts(id: string): [number, number] {
  const [ms, seq] = id.split('-')
  return [Number(ms), Number(seq ?? 0)]
}

function isBefore(a: string, b: string): boolean {
  const [aMs, aSeq] = parts(a)
  const [bMs, bSeq] = parts(b)
  return aMs < bMs || (aMs === bMs && aSeq < bSeq)
}

function successor(id: string): string {
  const [ms, seq] = parts(id)
  return `${ms}-${seq + 1}`
}
