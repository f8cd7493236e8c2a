import { z } from 'zod'
import { type AnyStream, baseName } from './stream.ts'

/** A text above this many bytes does not travel: followers read it from the table. */
export const largestInlineText = 4096

/**
 * The rows that brought a stream of an instance from `prev` to `token`. Whoever stands before `prev` has missed
 * something; whoever stands at `token` or later has seen this already. No rows: the position only.
 */
export interface Announcement {
  readonly stream: string
  /** The logical name of the writer (`writer`), the same whichever process holds it. */
  readonly instance: string
  readonly prev: number
  readonly token: number
  readonly rows: readonly object[]
  /** Parallel to `rows`, where the stream carries texts. */
  readonly texts?: readonly (Buffer | undefined)[]
}

/** What a writer hands over: texts still as strings. */
export interface OutgoingAnnouncement extends Omit<Announcement, 'texts'> {
  readonly texts?: readonly (string | undefined)[]
}

/**
 * What one commit brought, in one entry, so that order across streams holds. A stream that shares another's positions
 * stands directly before it. `heartbeat`: the positions of all streams of a writer, each second.
 */
export interface Entry {
  readonly heartbeat: boolean
  readonly announcements: readonly Announcement[]
}
/** An {@link Entry} as a writer hands it over. */
export interface OutgoingEntry {
  readonly heartbeat?: boolean
  readonly announcements: readonly OutgoingAnnouncement[]
}

/**
 * The serialised form: names and values in turn, as XADD takes them. `a` is the announcements' JSON, `x<i>` the texts of
 * announcement i run together in UTF-8 (their lengths are in the JSON), so that a follower copies them and decodes none.
 */
export type WireEntry = (string | Buffer)[]

interface WireAnnouncement extends Omit<OutgoingAnnouncement, 'texts'> {
  /** Bytes of each row's text in the field x<i>; -1 where there is none. */
  readonly texts?: readonly number[]
}

/** Serialises an entry. Row objects must be JSON already; their texts are taken as they are. */
export function encodeEntry(entry: OutgoingEntry): WireEntry {
  const blobs: WireEntry = []
  const announcements = entry.announcements.map((announcement, index): WireAnnouncement => {
    const { texts, ...rest } = announcement
    if (texts === undefined || texts.length === 0) return rest
    const lengths = texts.map((text) => {
      const bytes = text === undefined ? -1 : Buffer.byteLength(text)
      return bytes > largestInlineText ? -1 : bytes
    })
    blobs.push(`x${index}`, Buffer.from(texts.filter((_, row) => lengths[row]! >= 0).join('')))
    return { ...rest, texts: lengths }
  })
  const json = JSON.stringify(announcements)
  return entry.heartbeat ? ['h', '1', 'a', json, ...blobs] : ['a', json, ...blobs]
}

/** The size of a serialised entry, for bounds on queues and on the Redis stream. */
export function bytesOf(entry: WireEntry): number {
  let bytes = 0
  for (const part of entry) bytes += typeof part === 'string' ? part.length : part.byteLength
  return bytes
}

/** An entry that is not what a writer of this format writes (R42): it is counted and treated as a gap. */
export class PoisonedEntry extends Error {
  override readonly name = 'PoisonedEntry'
}

interface Envelope extends Omit<Announcement, 'texts'> {
  readonly texts?: readonly number[]
}

/** Reads entries for one class of process; rows of streams that it does not read are left out, unchecked. */
export class EntryDecoder {
  readonly #streams: ReadonlyMap<string, { readonly stream: AnyStream; readonly rows: z.ZodType<object[]> }>

  constructor(streams: readonly AnyStream[]) {
    this.#streams = new Map(streams.map((stream) => [stream.name, { stream, rows: z.array(stream.row) as z.ZodType<object[]> }]))
  }

  /** @throws PoisonedEntry on anything that is malformed, within a stream that this class reads */
  decode(wire: readonly (string | Buffer)[]): Entry {
    const fields = new Map<string, string | Buffer>()
    for (let i = 0; i + 1 < wire.length; i += 2) fields.set(wire[i]!.toString(), wire[i + 1]!)
    const json = fields.get('a')
    if (json === undefined) throw new PoisonedEntry('an entry without announcements')
    const announcements: Announcement[] = []
    for (const [index, envelope] of parseEnvelopes(json.toString()).entries()) {
      const known = this.#streams.get(envelope.stream)
      if (known === undefined) continue
      const rows = known.rows.safeParse(envelope.rows)
      if (!rows.success) throw new PoisonedEntry(`a row of ${envelope.stream}: ${z.prettifyError(rows.error)}`)
      checkPositions(known.stream, envelope, rows.data)
      const texts = envelope.texts === undefined ? undefined : cutTexts(envelope.texts, envelope.rows.length, fields.get(`x${index}`))
      const { stream, instance, prev, token } = envelope
      announcements.push({ stream, instance, prev, token, rows: rows.data, texts })
    }
    return { heartbeat: fields.has('h'), announcements }
  }
}

/** By hand, not by a schema: every process does this for every commit, and most leave the rows unread. */
function parseEnvelopes(json: string): readonly Envelope[] {
  let value: unknown
  try {
    value = JSON.parse(json)
  } catch (err) {
    throw new PoisonedEntry('announcements that are no JSON', { cause: err })
  }
  if (!Array.isArray(value) || !value.every(isEnvelope)) throw new PoisonedEntry('announcements of another form')
  return value
}

function isEnvelope(value: unknown): value is Envelope {
  if (typeof value !== 'object' || value === null) return false
  const { stream, instance, prev, token, rows, texts } = value as Record<string, unknown>
  return (
    typeof stream === 'string' &&
    typeof instance === 'string' &&
    isCount(prev) &&
    isCount(token) &&
    Array.isArray(rows) &&
    (texts === undefined || (Array.isArray(texts) && texts.every((bytes) => bytes === -1 || isCount(bytes))))
  )
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

/** Positions rise within (prev, token]; those of a stream that shares another's may repeat. */
function checkPositions(stream: AnyStream, envelope: { prev: number; token: number }, rows: readonly object[]): void {
  if (envelope.token < envelope.prev) throw new PoisonedEntry(`${stream.name} goes back from ${envelope.prev} to ${envelope.token}`)
  let last = envelope.prev
  for (const row of rows) {
    const at: unknown = (row as { position?: unknown }).position
    const rises = typeof at === 'number' && Number.isSafeInteger(at) && at > envelope.prev && at >= last && at <= envelope.token
    if (!rises)
      throw new PoisonedEntry(`${stream.name} (of ${baseName(stream)}) has a row at ${at} in (${envelope.prev}, ${envelope.token}]`)
    last = at
  }
}

function cutTexts(lengths: readonly number[], rows: number, field: string | Buffer | undefined): (Buffer | undefined)[] {
  if (lengths.length !== rows) throw new PoisonedEntry(`${lengths.length} texts for ${rows} rows`)
  const total = lengths.reduce((sum, length) => sum + Math.max(length, 0), 0)
  // The driver's buffer is a window on a whole network chunk: a copy keeps what is kept as small as the entry.
  const blob = Buffer.from(field ?? '')
  if (blob.byteLength !== total) throw new PoisonedEntry(`texts of ${total} bytes in a field of ${blob.byteLength}`)
  let from = 0
  return lengths.map((length) => {
    if (length < 0) return undefined
    from += length
    return blob.subarray(from - length, from)
  })
}
