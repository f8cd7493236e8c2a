import { isJsonObject, own, parseJsonObject } from '@weft/matrix'
import { LRUCache } from 'lru-cache'
import { type Queryable, sql } from './sql.ts'

/** A visibility or member event that says it in a kilobyte is read with the others; what is padded to more is read apart (R26). */
export const SHORT_BYTES = 1024
/** Of the long ones, so many are in memory at a time, and so many are remembered by what they say (60 bytes each). */
const AT_A_TIME = 50
const REMEMBERED = 50_000
/** Stored JSON may be nested as deep as federation allows and hold lone surrogates in old room versions. */
const STORED = { maxDepth: 1000, allowLoneSurrogates: true }

const texts = sql<{ event_nid: number; type: string; json: string }>(
  'events.longTexts',
  'SELECT event_nid, type, json FROM events WHERE event_nid = ANY($1::bigint[])',
)

/** The membership of a member event, the visibility of any other; absent where it is no string that could be one. */
export function saidBy(type: string, json: string): string | undefined {
  const content = own(parseJsonObject(json, STORED), 'content')
  const value = isJsonObject(content) ? own(content, type === 'm.room.member' ? 'membership' : 'history_visibility') : undefined
  return typeof value === 'string' && value.length <= 20 ? value : undefined
}

/**
 * What long visibility and member events say, of which somebody may have sent thousands: they are read in parts, and once.
 * It never changes, since redaction leaves both keys.
 */
export class LongEvents {
  readonly #db: Queryable
  readonly #said = new LRUCache<number, { readonly value: string | undefined }>({ maxSize: REMEMBERED, sizeCalculation: () => 1 })
  readonly #reading = new Map<number | string, Promise<unknown>>()

  constructor(db: Queryable) {
    this.#db = db
  }

  /** What these events say, by nid. @param of whose they are: these are read by one request at a time, and the others find them known */
  async say(of: number | string, nids: readonly number[]): Promise<ReadonlyMap<number, string | undefined>> {
    for (let other = this.#reading.get(of); other !== undefined; other = this.#reading.get(of)) await other.catch(() => undefined)
    const reading = this.#read(nids)
    this.#reading.set(of, reading)
    try {
      return await reading
    } finally {
      this.#reading.delete(of)
    }
  }

  async #read(nids: readonly number[]): Promise<ReadonlyMap<number, string | undefined>> {
    const said = new Map<number, string | undefined>()
    const unknown: number[] = []
    for (const nid of nids) {
      const known = this.#said.get(nid)
      if (known === undefined) unknown.push(nid)
      else said.set(nid, known.value)
    }
    for (let i = 0; i < unknown.length; i += AT_A_TIME) {
      for (const row of await this.#db.query(texts, [unknown.slice(i, i + AT_A_TIME)])) {
        const value = saidBy(row.type, row.json)
        said.set(row.event_nid, value)
        this.#said.set(row.event_nid, { value })
      }
    }
    return said
  }
}
