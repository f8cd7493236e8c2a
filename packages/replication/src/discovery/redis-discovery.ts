import type { Clock, Timer } from '@weft/kernel'
import type { Redis } from 'ioredis'
import type { ReplicationLog } from '../announcer.ts'
import { LuaScript, luaNow } from '../lua.ts'
import { keyPrefix, type RedisConnections, whenReady } from '../redis.ts'
import type { ProcessClass } from '../stream.ts'
import { type Discovery, type Instance, instanceSchema, type Presence } from './discovery.ts'

/** How often each process says that it is there, and reads who else is. */
const beatMs = 1000
/** Without a beat for this long, by Redis's clock, an instance is gone. */
export const instanceTtlMs = 5000

// A hash of instance -> '<end in ms> <JSON>'.
const announce = new LuaScript(`${luaNow}
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now + ARGV[3]) .. ' ' .. ARGV[2])
if ARGV[4] == '1' then redis.call('PUBLISH', KEYS[2], '') end
`)
const withdraw = new LuaScript(`
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('PUBLISH', KEYS[2], ARGV[1])
`)
const read = new LuaScript(`${luaNow}
local found = {}
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local left = tonumber(string.match(all[i + 1], '^%d+') or '0') - now
  if left > 0 then
    found[#found + 1] = { all[i], string.format('%.0f', left), string.match(all[i + 1], '^%d+ (.*)$') }
  else
    redis.call('HDEL', KEYS[1], all[i])
  end
end
return found
`)

interface Known {
  readonly instance: Instance
  /** On this process's monotonic clock. */
  until: number
}

/** What {@link RedisDiscovery} stands on. */
export interface RedisDiscoveryOptions {
  readonly redis: RedisConnections
  readonly serverName: string
  readonly clock: Clock
  readonly log: ReplicationLog
}

/**
 * Instances in a Redis hash with an end by Redis's clock, and a nudge over pub/sub when one changes. What vanishes from
 * Redis without being withdrawn (FLUSHALL) stands until its own end; while Redis is away everything stands.
 */
export class RedisDiscovery implements Discovery {
  readonly #options: RedisDiscoveryOptions
  readonly #keys: readonly [string, string]
  readonly #redis: Redis
  readonly #own = new Map<string, Instance>()
  readonly #listeners = new Set<() => void>()
  readonly #stopping = new AbortController()
  #known = new Map<string, Known>()
  #subscriber: Redis | undefined
  #timer: Timer | undefined
  #reading: Promise<void> | undefined
  #readAgain = false
  #away = false

  constructor(options: RedisDiscoveryOptions) {
    this.#options = options
    this.#keys = [`${keyPrefix(options.serverName)}instances`, `${keyPrefix(options.serverName)}nudge`]
    this.#redis = options.redis.commands('discovery')
  }

  async start(): Promise<void> {
    const { redis, clock, log } = this.#options
    const subscriber = redis.subscriber('discovery')
    this.#subscriber = subscriber
    subscriber.on('message', (_channel: string, withdrawn: string) => this.#nudged(withdrawn))
    const subscribe = () => subscriber.subscribe(this.#keys[1]).catch((err) => log.debug({ err }, 'no nudges yet'))
    // ioredis renews a subscription that it once made; the first must wait for the connection.
    if (subscriber.status === 'ready') await subscribe()
    else subscriber.once('ready', subscribe)
    // What is announced while Redis is away is announced when it is back.
    this.#redis.on('ready', this.#beat)
    this.#timer = clock.setInterval(() => {
      this.#beat()
      void this.#read()
    }, beatMs)
    await whenReady(this.#redis, AbortSignal.any([AbortSignal.timeout(1000), this.#stopping.signal]))
    await this.#read()
  }

  announce(instance: Instance): Presence {
    const { instance: name } = instance
    this.#own.set(name, instance)
    this.#say(instance, true)
    return {
      update: (change) => {
        const before = this.#own.get(name)
        if (before === undefined) return
        const after = { ...before, ...change }
        this.#own.set(name, after)
        if (change.state !== undefined || change.address !== undefined) this.#say(after, true)
      },
      withdraw: async () => {
        this.#own.delete(name)
        try {
          await withdraw.run(this.#redis, this.#keys, [name])
        } catch (err) {
          this.#options.log.debug({ err }, 'an instance will run out instead of being withdrawn')
        }
      },
    }
  }

  list(of?: ProcessClass): readonly Instance[] {
    return [...this.#known.values()].map((known) => known.instance).filter((instance) => of === undefined || instance.class === of)
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    this.#timer?.cancel()
    this.#listeners.clear()
    await this.#reading
    if (this.#subscriber !== undefined) this.#options.redis.release(this.#subscriber)
    this.#options.redis.release(this.#redis)
  }

  readonly #beat = (): void => {
    for (const instance of this.#own.values()) this.#say(instance, false)
  }

  #say(instance: Instance, nudge: boolean): void {
    announce
      .run(this.#redis, this.#keys, [instance.instance, JSON.stringify(instance), instanceTtlMs, nudge ? 1 : 0])
      .catch((err) => this.#options.log.debug({ err }, 'Redis does not hear that this instance is there'))
  }

  #nudged(withdrawn: string): void {
    if (withdrawn !== '' && this.#known.delete(withdrawn)) this.#changed()
    void this.#read()
  }

  /** One reading at a time; a nudge during one brings another. */
  #read(): Promise<void> {
    this.#readAgain = this.#reading !== undefined
    this.#reading ??= this.#readOnce().finally(() => {
      this.#reading = undefined
      if (this.#readAgain && !this.#stopping.signal.aborted) void this.#read()
    })
    return this.#reading
  }

  async #readOnce(): Promise<void> {
    let found: [string, string, string][]
    try {
      found = (await read.run(this.#redis, this.#keys, [])) as [string, string, string][]
    } catch (err) {
      this.#options.log.debug({ err }, 'instances cannot be read: those last known stand')
      this.#away = true
      return
    }
    const now = this.#options.clock.monotonic()
    const next = new Map<string, Known>()
    for (const [name, known] of this.#known) {
      // Redis was away, or comes back empty: everybody has a full term to say that they are there.
      if (this.#away) known.until = now + instanceTtlMs
      if (known.until > now) next.set(name, known)
    }
    this.#away = false
    for (const [name, left, text] of found) {
      const instance = this.#parse(text)
      if (instance?.instance === name) next.set(name, { instance, until: now + Number(left) })
    }
    const differs = fingerprint(next) !== fingerprint(this.#known)
    this.#known = next
    if (differs) this.#changed()
  }

  #parse(text: string): Instance | undefined {
    try {
      return instanceSchema.parse(JSON.parse(text))
    } catch (err) {
      this.#options.log.warn({ err }, 'an instance announces itself in a way that is not understood')
      return undefined
    }
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}

function fingerprint(known: ReadonlyMap<string, Known>): string {
  const shown = [...known.values()].map(({ instance }) => [
    instance.instance,
    instance.class,
    instance.address,
    instance.state,
    instance.epoch,
  ])
  return JSON.stringify(shown.sort(([a], [b]) => (a! < b! ? -1 : 1)))
}
