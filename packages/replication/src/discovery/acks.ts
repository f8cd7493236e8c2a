import type { Clock } from '@weft/kernel'
import type { Redis } from 'ioredis'
import { z } from 'zod'
import type { ReplicationLog } from '../announcer.ts'
import { keyPrefix, type RedisConnections } from '../redis.ts'
import { type AnyStream, baseName } from '../stream.ts'
import type { Discovery } from './discovery.ts'

const acknowledgement = z.object({ instance: z.string(), stream: z.string(), position: z.int().min(0) })
/** An instance has applied a stream up to a position. */
export type Acknowledgement = z.infer<typeof acknowledgement>

/** Carries acknowledgements from followers to the writer; one may be lost, the instance's next beat carries it too. */
export interface AckBus {
  send(ack: Acknowledgement): void
  /** Calls `listener` for each that arrives; returns how to stop that. */
  listen(listener: (ack: Acknowledgement) => void): () => void
  stop(): Promise<void>
}

/** Acknowledgements within one process: asynchronous, as over Redis. */
export class MemoryAckBus implements AckBus {
  readonly #listeners = new Set<(ack: Acknowledgement) => void>()

  send(ack: Acknowledgement): void {
    setImmediate(() => {
      for (const listener of [...this.#listeners]) listener(ack)
    })
  }

  listen(listener: (ack: Acknowledgement) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async stop(): Promise<void> {
    this.#listeners.clear()
  }
}

/** What {@link RedisAckBus} stands on. */
export interface RedisAckBusOptions {
  readonly redis: RedisConnections
  readonly serverName: string
  readonly log: ReplicationLog
}

/** Acknowledgements over Redis pub/sub. A connection is made by the first that sends or listens. */
export class RedisAckBus implements AckBus {
  readonly #options: RedisAckBusOptions
  readonly #channel: string
  readonly #listeners = new Set<(ack: Acknowledgement) => void>()
  /** Of this process's one instance, by stream. */
  readonly #latest = new Map<string, Acknowledgement>()
  #publisher: Redis | undefined
  #subscriber: Redis | undefined

  constructor(options: RedisAckBusOptions) {
    this.#options = options
    this.#channel = `${keyPrefix(options.serverName)}acks`
  }

  send(ack: Acknowledgement): void {
    this.#latest.set(ack.stream, ack)
    if (this.#publisher === undefined) {
      this.#publisher = this.#options.redis.commands('acknowledge')
      // What was sent before the connection stood, or was lost with it.
      this.#publisher.on('ready', () => {
        for (const latest of this.#latest.values()) this.#publish(latest)
      })
    } else this.#publish(ack)
  }

  listen(listener: (ack: Acknowledgement) => void): () => void {
    this.#listeners.add(listener)
    this.#subscribe()
    return () => this.#listeners.delete(listener)
  }

  async stop(): Promise<void> {
    this.#listeners.clear()
    for (const redis of [this.#publisher, this.#subscriber]) if (redis !== undefined) this.#options.redis.release(redis)
  }

  #publish(ack: Acknowledgement): void {
    this.#publisher!.publish(this.#channel, JSON.stringify(ack)).catch((err) =>
      this.#options.log.debug({ err }, 'an acknowledgement was lost'),
    )
  }

  #subscribe(): void {
    if (this.#subscriber !== undefined) return
    const subscriber = this.#options.redis.subscriber('acknowledgements')
    this.#subscriber = subscriber
    subscriber.on('message', (_channel: string, text: string) => {
      const ack = parseAck(text)
      if (ack === undefined) this.#options.log.warn({ bytes: text.length }, 'an acknowledgement was not understood')
      else for (const listener of [...this.#listeners]) listener(ack)
    })
    subscriber.once('ready', () => {
      subscriber.subscribe(this.#channel).catch((err) => this.#options.log.debug({ err }, 'no acknowledgements yet'))
    })
  }
}

function parseAck(text: string): Acknowledgement | undefined {
  try {
    return acknowledgement.parse(JSON.parse(text))
  } catch {
    // Poisoned (R42): the caller logs it.
    return undefined
  }
}

/** The writer's view of how far followers came: a logout answers once the live ones have passed it. */
export class Acks {
  readonly #discovery: Discovery
  readonly #clock: Clock
  readonly #positions = new Map<string, Map<string, number>>()
  readonly #waiting = new Set<() => void>()
  readonly #unsubscribe: (() => void)[]

  constructor(options: { readonly bus: AckBus; readonly discovery: Discovery; readonly clock: Clock }) {
    this.#discovery = options.discovery
    this.#clock = options.clock
    const check = () => {
      for (const waiting of [...this.#waiting]) waiting()
    }
    this.#unsubscribe = [
      options.bus.listen((ack) => {
        this.#note(ack)
        check()
      }),
      options.discovery.onChange(() => {
        this.#forgetGone()
        check()
      }),
    ]
  }

  /**
   * Resolves to true once all live instances that read the stream (the writer's own caches are told at once) have
   * passed `position`, to false after `timeoutMs`: at most a second, so that a lost follower delays and does not block.
   */
  waitForAcks(stream: AnyStream, position: number, timeoutMs = 1000): Promise<boolean> {
    const passed = () => this.#behind(stream, position).length === 0
    if (passed()) return Promise.resolve(true)
    return new Promise((resolve) => {
      const end = (result: boolean) => {
        this.#waiting.delete(check)
        timer.cancel()
        resolve(result)
      }
      const check = () => {
        if (passed()) end(true)
      }
      const timer = this.#clock.setTimeout(() => end(passed()), Math.min(timeoutMs, 1000))
      this.#waiting.add(check)
    })
  }

  /** Listens no more; whoever waits is told after its time. */
  stop(): void {
    for (const unsubscribe of this.#unsubscribe) unsubscribe()
  }

  /** Instances that answer requests and have not come so far. A starting one has cached nothing yet. */
  #behind(stream: AnyStream, position: number): string[] {
    const name = baseName(stream)
    return this.#discovery
      .list()
      .filter((one) => one.class !== 'writer' && stream.readBy.includes(one.class) && (one.state === 'ready' || one.state === 'draining'))
      .filter((one) => Math.max(this.#positions.get(one.instance)?.get(name) ?? 0, positionOf(one.positions, name)) < position)
      .map((one) => one.instance)
  }

  #note({ instance, stream, position }: Acknowledgement): void {
    let positions = this.#positions.get(instance)
    if (positions === undefined) {
      positions = new Map()
      this.#positions.set(instance, positions)
    }
    positions.set(stream, Math.max(positions.get(stream) ?? 0, position))
  }

  #forgetGone(): void {
    const live = new Set(this.#discovery.list().map((one) => one.instance))
    for (const instance of this.#positions.keys()) if (!live.has(instance)) this.#positions.delete(instance)
  }
}

function positionOf(positions: Readonly<Record<string, number>> | undefined, stream: string): number {
  return positions !== undefined && Object.hasOwn(positions, stream) ? positions[stream]! : 0
}

/** A follower's end: what a Replica is given as `acknowledge`. */
export function acknowledgeTo(
  bus: AckBus,
  instance: string,
  presence: () => { update(change: { positions: Record<string, number> }): void } | undefined,
) {
  const positions = new Map<string, number>()
  return (stream: string, position: number): void => {
    positions.set(stream, position)
    presence()?.update({ positions: Object.fromEntries(positions) })
    bus.send({ instance, stream, position })
  }
}
