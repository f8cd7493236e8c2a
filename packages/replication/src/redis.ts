import { Redis, type RedisOptions } from 'ioredis'
import type { ReplicationLog } from './announcer.ts'

/** A command that Redis has not answered by then has failed: nothing of a request waits longer for it. */
const commandTimeoutMs = 1000
/** How long the blocking reader lets Redis wait for entries: what it then hears is no older than this. A connection that says nothing for longer than `silenceMs` is dead. */
export const blockMs = 250
const silenceMs = 4000

/**
 * Connections to one Redis. All fail at once while it is away and come back by themselves; none of them ever ends
 * the process.
 */
export class RedisConnections {
  readonly #url: string
  readonly #log: ReplicationLog
  readonly #open = new Set<Redis>()

  constructor(options: { readonly url: string; readonly log: ReplicationLog }) {
    this.#url = options.url
    this.#log = options.log
  }

  /** For commands: rejects while Redis is away, and after a second without an answer. */
  commands(name: string): Redis {
    return this.#connect(name, { commandTimeout: commandTimeoutMs, keepAlive: 5000 })
  }

  /** For one blocking reader. */
  blocking(name: string): Redis {
    return this.#connect(name, { socketTimeout: silenceMs })
  }

  /** For subscriptions; they are renewed after a reconnect. */
  subscriber(name: string): Redis {
    return this.#connect(name, { keepAlive: 5000, autoResubscribe: true })
  }

  /** Ends a connection for good. */
  release(redis: Redis): void {
    this.#open.delete(redis)
    redis.disconnect()
  }

  stop(): void {
    for (const redis of [...this.#open]) this.release(redis)
  }

  #connect(name: string, options: RedisOptions): Redis {
    const redis = new Redis(this.#url, {
      connectionName: `weft-${name}`,
      protocol: 2,
      disableClientInfo: true,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectTimeout: 2000,
      // Soon at first (a restart takes 50 ms), then not in step with all other processes.
      retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 5), 1000) * (0.75 + Math.random() / 2),
      ...options,
    })
    let lost = false
    redis.on('error', (err: Error) => {
      // One that is given up while it is being made fails too: that is no news.
      if (lost || !this.#open.has(redis)) return
      this.#log.warn({ err, connection: name }, 'Redis is not to be reached')
      lost = true
    })
    redis.on('ready', () => {
      if (lost) this.#log.info({ connection: name }, 'Redis is there again')
      lost = false
    })
    this.#open.add(redis)
    return redis
  }
}

/** The prefix of all keys of a server; the braces keep them in one slot of a Redis cluster. */
export function keyPrefix(serverName: string): string {
  return `weft:{${serverName}}:`
}

/** Resolves once the connection can take commands, or the signal aborts. */
export function whenReady(redis: Redis, signal: AbortSignal): Promise<void> {
  if (redis.status === 'ready' || signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const done = () => {
      redis.removeListener('ready', done)
      signal.removeEventListener('abort', done)
      resolve()
    }
    redis.on('ready', done)
    signal.addEventListener('abort', done)
  })
}
