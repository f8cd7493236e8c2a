import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import {
  ClientEvent,
  createClient,
  type IStartClientOpts,
  type MatrixClient,
  MatrixError,
  type MatrixEvent,
  MatrixEventEvent,
  type Room,
  RoomEvent,
  SyncState,
  ThreadEvent,
} from 'matrix-js-sdk'
import type { Logger } from 'matrix-js-sdk/lib/logger.js'
import { Disk, DiskStore } from './disk.ts'

/** How long a step waits for what it expects, in ms. Nothing here takes nearly as long; the machine may be busy. */
const DEADLINE_MS = 20_000
/** After any of these, what a client knows may have changed. */
const NEWS = [
  ClientEvent.Sync,
  ClientEvent.ToDeviceEvent,
  ClientEvent.DeleteRoom,
  MatrixEventEvent.Replaced,
  RoomEvent.LocalEchoUpdated,
  RoomEvent.Timeline,
] as const

export const PASSWORD = 'correct horse battery staple'

export interface Session {
  readonly user_id: string
  readonly access_token?: string
  readonly device_id?: string
}

/** A person with one client, as an application would use matrix-js-sdk. */
export class Person {
  readonly client: MatrixClient
  /** What the client had to complain about. */
  readonly complaints: string[] = []
  readonly #baseUrl: string
  readonly #session: Session | undefined
  readonly #disk: Disk
  readonly #news = new EventEmitter()

  constructor(baseUrl: string, session?: Session, disk = new Disk()) {
    this.#baseUrl = baseUrl
    this.#session = session
    this.#disk = disk
    this.client = createClient({
      baseUrl,
      userId: session?.user_id,
      accessToken: session?.access_token,
      deviceId: session?.device_id,
      store: new DiskStore(disk),
      logger: collectingLogger(this.complaints),
      fetchFn: complainingFetch(this.complaints),
      timelineSupport: true,
    })
    const told = () => this.#news.emit('news')
    for (const event of NEWS) this.client.on(event, told)
    // Threads are filled by requests of their own, and tell their room alone.
    this.client.on(ClientEvent.Room, (room) => room.on(ThreadEvent.Update, told))
    this.client.on(ClientEvent.SyncUnexpectedError, (error) => this.complaints.push(`sync: ${error.stack ?? error.message}`))
  }

  get id(): string {
    return this.client.getSafeUserId()
  }

  /** The session in another client that knows nothing of this one, or what is on its disk. */
  again(options: { readonly disk: boolean }): Person {
    return new Person(this.#baseUrl, this.#session, options.disk ? this.#disk : undefined)
  }

  /** Begins to sync, and waits until the first answer is taken in. */
  async start(options: IStartClientOpts = {}): Promise<this> {
    await this.client.startClient({ pollTimeout: 30_000, initialSyncLimit: 20, ...options })
    await this.until('the first sync', () => this.client.getSyncState() === SyncState.Syncing)
    return this
  }

  stop(): void {
    this.client.stopClient()
  }

  /** Ends the session and the client. */
  async logOut(): Promise<void> {
    await this.client.logout(true)
  }

  /** Waits until the client knows what `probe` looks for. @throws Error at the deadline, naming `what` */
  until<T>(what: string, probe: () => T | undefined | null | false): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const done = () => {
        clearTimeout(timer)
        this.#news.off('news', look)
      }
      const look = () => {
        try {
          const found = probe()
          if (found === undefined || found === null || found === false) return
          done()
          resolve(found)
        } catch (error) {
          done()
          reject(error)
        }
      }
      const timer = setTimeout(() => {
        done()
        reject(
          new Error(
            `${this.client.getUserId()} waited ${DEADLINE_MS} ms for ${what}; complaints: ${this.complaints.join(' | ') || 'none'}`,
          ),
        )
      }, DEADLINE_MS)
      this.#news.on('news', look)
      look()
    })
  }

  /** @throws Error where the client does not know the room */
  room(roomId: string): Room {
    const room = this.client.getRoom(roomId)
    assert(room !== null, `${this.id} does not know ${roomId}`)
    return room
  }

  sees(roomId: string, eventId: string): Promise<MatrixEvent> {
    return this.until(`event ${eventId}`, () => this.client.getRoom(roomId)?.findEventById(eventId))
  }

  async says(roomId: string, body: string): Promise<string> {
    return (await this.client.sendTextMessage(roomId, body)).event_id
  }

  seesMembership(roomId: string, membership: string, of: Person = this): Promise<true> {
    const found = () => this.client.getRoom(roomId)?.getMember(of.id)?.membership === membership || undefined
    return this.until(`${membership} of ${of.id} in ${roomId}`, found)
  }
}

/** Asserts that the server refuses, with this status and error code. */
export async function refused(answer: Promise<unknown>, status: number, errcode: string | undefined): Promise<MatrixError> {
  const error = await answer.then(
    () => assert.fail(`accepted, where ${status} ${errcode} was due`),
    (reason: unknown) => reason,
  )
  assert(error instanceof MatrixError, `${error}`)
  assert.deepEqual([error.httpStatus, error.errcode], [status, errcode])
  return error
}

/** Texts of messages, in their order. */
export function texts(events: readonly MatrixEvent[]): string[] {
  return events
    .filter((event) => event.getType() === 'm.room.message' && event.getContent().body !== undefined)
    .map((event) => event.getContent().body as string)
}

/** Texts of the messages of a room's live timeline, the oldest first. */
export function bodies(room: Room): string[] {
  return texts(room.getLiveTimeline().getEvents())
}

function collectingLogger(errors: string[]): Logger {
  const logger: Logger = {
    trace() {},
    debug() {},
    info() {},
    warn() {},
    error: (...parts) => {
      errors.push(parts.map(String).join(' '))
    },
    getChild: () => logger,
  }
  return logger
}

/**
 * An answer that there is no such endpoint is a complaint, whatever the client makes of it; but for what is not in the specification
 * yet, where clients just try.
 */
function complainingFetch(complaints: string[]): typeof fetch {
  return async (input, init) => {
    const response = await fetch(input, init)
    if ((response.status === 404 || response.status === 405) && !response.url.includes('/unstable/')) {
      const { errcode } = (await response.clone().json()) as { errcode?: string }
      if (errcode === 'M_UNRECOGNIZED') complaints.push(`no such endpoint: ${init?.method ?? 'GET'} ${input}`)
    }
    return response
  }
}
