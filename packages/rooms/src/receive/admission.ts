import type { JsonValue, Rejection, RoomVersion } from '@weft/matrix'
import { type ReceivedEvent, readPdu } from './read-pdu.ts'
import { type KeyLookup, verifySignatures } from './signatures.ts'
import type { Turns } from './turns.ts'

/** An event that is what it says it is, or why it is dropped. */
export type Admitted = { readonly ok: true; readonly event: ReceivedEvent } | (Rejection & { readonly event?: ReceivedEvent })

/** Signatures checked at once: as many as keep the thread pool busy. */
const AT_ONCE = 16

/** The checks that an event passes before anything else is asked of it; the same whatever way it came (R07). */
export class Admission {
  readonly #room: { readonly roomId: string; readonly version: RoomVersion }
  readonly #keys: KeyLookup
  readonly #turns: Turns

  constructor(options: { room: { readonly roomId: string; readonly version: RoomVersion }; keys: KeyLookup; turns: Turns }) {
    this.#room = options.room
    this.#keys = options.keys
    this.#turns = options.turns
  }

  /** Reads the values; nothing is known yet of their signatures. */
  async read(values: readonly JsonValue[]): Promise<Admitted[]> {
    const read: Admitted[] = []
    for (const value of values) {
      await this.#turns.rest()
      read.push(readPdu(value, this.#room))
    }
    return read
  }

  /** Drops those without the signatures they need. */
  async verify(events: readonly ReceivedEvent[]): Promise<Admitted[]> {
    const verified: Admitted[] = new Array(events.length)
    let next = 0
    const work = async (): Promise<void> => {
      while (next < events.length) {
        const index = next++
        const event = events[index] as ReceivedEvent
        const verdict = await verifySignatures(event, this.#room.version, this.#keys)
        verified[index] = verdict.ok ? { ok: true, event } : { ...verdict, event }
      }
    }
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, events.length) }, work))
    return verified
  }

  /** Both, for events that were asked for: those that pass. */
  async admit(values: readonly JsonValue[]): Promise<ReceivedEvent[]> {
    const read = (await this.read(values)).flatMap((admitted) => (admitted.ok ? [admitted.event] : []))
    return (await this.verify(read)).flatMap((admitted) => (admitted.ok ? [admitted.event] : []))
  }
}
