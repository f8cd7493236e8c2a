import { type Streams, streams } from './streams/index.ts'

/** The streams whose positions a /sync token carries, by their key in `streams`. */
export type SyncStreamKey = { [K in keyof Streams]: [NonNullable<Streams[K]['syncToken']>] extends [never] ? never : K }[keyof Streams]
/** A position in each stream that a /sync token carries. */
export type SyncPositions = { readonly [K in SyncStreamKey]: number }

/**
 * A /sync token, read: how far its holder has seen each stream. A stream that the token does not name is absent (the
 * token is older than the stream).
 */
export interface SyncToken {
  readonly positions: Partial<SyncPositions>
  /** For each stream, further writers by name, where there were more than one. */
  readonly instances: Partial<Record<SyncStreamKey, ReadonlyMap<string, number>>>
}

const keys = Object.keys(streams) as (keyof Streams)[]
const letters = new Map<string, SyncStreamKey>(
  keys.flatMap((key) => {
    const letter: string | undefined = streams[key].syncToken
    return letter === undefined ? [] : [[letter, key as SyncStreamKey] as const]
  }),
)

/** `s12_r3_t4_a5_d6`: a letter and a position for each stream. */
export function encodeSyncToken(positions: SyncPositions): string {
  let text = ''
  for (const [letter, key] of letters) text += `${text === '' ? '' : '_'}${letter}${positions[key]}`
  return text
}

const longest = 1024
const part = /^([a-z])(\d{1,16})((?:~[A-Za-z0-9-]{1,64}\.\d{1,16})*)$/

/**
 * Reads a token of this or another version: letters that this version does not know are passed over, and
 * `s12~writer2.15` says that of the events of `writer2` those up to 15 were seen. Undefined for what is no sync token.
 */
export function decodeSyncToken(text: string): SyncToken | undefined {
  if (text.length > longest) return undefined
  const positions: Partial<Record<SyncStreamKey, number>> = {}
  const instances: Partial<Record<SyncStreamKey, ReadonlyMap<string, number>>> = {}
  const seen = new Set<string>()
  for (const piece of text.split('_')) {
    const match = part.exec(piece)
    if (match === null) return undefined
    const [, letter, digits, others] = match as unknown as [string, string, string, string]
    const position = Number(digits)
    if (!Number.isSafeInteger(position) || seen.has(letter)) return undefined
    seen.add(letter)
    const key = letters.get(letter)
    if (key === undefined) continue
    positions[key] = position
    if (others !== '') {
      const byName = readInstances(others)
      if (byName === undefined) return undefined
      instances[key] = byName
    }
  }
  // Every version writes the events stream's letter: without it this is some other token.
  return seen.has('s') ? { positions, instances } : undefined
}

function readInstances(text: string): Map<string, number> | undefined {
  const byName = new Map<string, number>()
  for (const piece of text.slice(1).split('~')) {
    const dot = piece.lastIndexOf('.')
    const position = Number(piece.slice(dot + 1))
    if (!Number.isSafeInteger(position)) return undefined
    byName.set(piece.slice(0, dot), position)
  }
  return byName
}
