import { MatrixError } from './errors.ts'

/**
 * A JSON number that is not a canonical integer: a float, an exponent, `-0`, or beyond ±(2^53-1). Its source text is all that
 * is known of it, so that what was received is what is hashed, stored and sent on.
 */
export class RawNumber {
  readonly source: string

  constructor(source: string) {
    this.source = source
  }

  /** Keeps `JSON.stringify` lossless too. */
  toJSON(): unknown {
    return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(this.source)
  }
}

/** What {@link parseJson} gives: as JSON, with every number it cannot keep exactly as a {@link RawNumber}. */
export type JsonValue = null | boolean | number | string | RawNumber | JsonValue[] | JsonObject

/** Read it with {@link own} wherever the key comes from outside: a key may be `constructor` or `__proto__`. */
export interface JsonObject {
  [key: string]: JsonValue
}

/** How deep the body of a client's request may be nested. */
export const MAX_CLIENT_JSON_DEPTH = 100

/**
 * How deep a body from another server may be nested. The writers of this package recurse, and so do other servers' (Python's
 * stops at about 1,000), so deeper events do not travel anyway.
 */
export const MAX_FEDERATION_JSON_DEPTH = 1000

/** What is let through that a client's body would be refused for. */
export interface ParseJsonOptions {
  /** Refuse deeper nesting before parsing. Default: {@link MAX_CLIENT_JSON_DEPTH}. */
  readonly maxDepth?: number
  /**
   * Lets lone surrogates through. For a federation transaction, in which one bad PDU must not cost the others: there
   * `checkCanonical` refuses the PDU by itself.
   */
  readonly allowLoneSurrogates?: boolean
}

// A number that the fast path could round. A match inside a string only costs the slower path, never correctness: numbers
// follow the start of the text, white space, or one of [ , : and so can be looked for without a tokenizer.
const RISKY_NUMBER = /(?:^|[\s:,[])(?:-0|-?\d{16,}|-?\d+[.eE])/
const SURROGATE_ESCAPE = /\\u[dD][89a-fA-F]/

/**
 * Parses JSON without losing anything: numbers that are not canonical integers become {@link RawNumber}, own keys named
 * `__proto__` stay own keys. A key given twice keeps its last value, as in every other server, so hashes agree.
 * Lone surrogates (`"\ud800"`) are refused unless the options say otherwise: they have no UTF-8 form and no canonical JSON.
 *
 * Spec: appendices, "Canonical JSON".
 * @throws MatrixError M_NOT_JSON for text that is not JSON; M_BAD_JSON for nesting beyond the limit and lone surrogates
 */
export function parseJson(text: string, options: ParseJsonOptions = {}): JsonValue {
  if (jsonDepthExceeds(text, options.maxDepth ?? MAX_CLIENT_JSON_DEPTH)) {
    throw new MatrixError('M_BAD_JSON', 'JSON is nested too deeply')
  }
  let value: JsonValue
  try {
    value = RISKY_NUMBER.test(text) ? (JSON.parse(text, reviveNumber as never) as JsonValue) : (JSON.parse(text) as JsonValue)
  } catch (cause) {
    throw new MatrixError('M_NOT_JSON', 'Content is not JSON', { cause })
  }
  if (options.allowLoneSurrogates !== true && (SURROGATE_ESCAPE.test(text) || !text.isWellFormed()) && !isWellFormedJson(value)) {
    throw new MatrixError('M_BAD_JSON', 'JSON contains a lone surrogate')
  }
  return value
}

/**
 * Decodes and parses a body. Invalid UTF-8 and a byte order mark are refused: decoding them leniently would change what was sent.
 *
 * @throws MatrixError as {@link parseJson}
 */
export function parseJsonBytes(bytes: Uint8Array, options: ParseJsonOptions = {}): JsonValue {
  let text: string
  try {
    // ignoreBOM means "leave it in the text", where JSON.parse refuses it.
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw new MatrixError('M_NOT_JSON', 'Content is not UTF-8', { cause })
  }
  return parseJson(text, options)
}

/** Parses text that must be an object. @throws MatrixError as {@link parseJson}, M_BAD_JSON for anything but an object */
export function parseJsonObject(text: string, options: ParseJsonOptions = {}): JsonObject {
  const value = parseJson(text, options)
  if (!isJsonObject(value)) throw new MatrixError('M_BAD_JSON', 'Content must be a JSON object')
  return value
}

/**
 * True when arrays and objects in `text` are nested deeper than `max`. A scan without recursion, so that a nesting bomb is
 * refused before anything recurses over it. The text need not be valid JSON.
 */
export function jsonDepthExceeds(text: string, max: number): boolean {
  if (text.length <= max) return false
  let depth = 0
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: // "
        i = endOfString(text, i)
        break
      case 0x5b: // [
      case 0x7b: // {
        if (++depth > max) return true
        break
      case 0x5d: // ]
      case 0x7d: // }
        depth--
        break
    }
  }
  return false
}

/** The value of an own property; `undefined` when it is absent or inherited. */
export function own(object: JsonObject, key: string): JsonValue | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined
}

/** The own property when it is a string. */
export function ownString(object: JsonObject, key: string): string | undefined {
  const value = own(object, key)
  return typeof value === 'string' ? value : undefined
}

/** The own property when it is an object. */
export function ownObject(object: JsonObject, key: string): JsonObject | undefined {
  const value = own(object, key)
  return isJsonObject(value) ? value : undefined
}

/** The own property when it is an array. */
export function ownArray(object: JsonObject, key: string): JsonValue[] | undefined {
  const value = own(object, key)
  return Array.isArray(value) ? value : undefined
}

/** True for a JSON object: not null, no array, no {@link RawNumber}. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof RawNumber)
}

/** Sets an own property even for the key `__proto__`, for which plain assignment would set the prototype. */
export function setOwn(object: JsonObject, key: string, value: JsonValue): void {
  if (key === '__proto__') {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
  } else {
    object[key] = value
  }
}

/** False when a string or a key anywhere inside has a lone surrogate. */
export function isWellFormedJson(value: JsonValue): boolean {
  if (typeof value === 'string') return value.isWellFormed()
  if (Array.isArray(value)) return value.every(isWellFormedJson)
  if (!isJsonObject(value)) return true
  return Object.keys(value).every((key) => key.isWellFormed() && isWellFormedJson(value[key] as JsonValue))
}

function reviveNumber(_key: string, value: JsonValue, context: { source?: string }): JsonValue {
  if (typeof value !== 'number') return value
  const source = context.source as string
  // String(value) is the canonical spelling of a safe integer; every other spelling is kept as it came.
  return Number.isSafeInteger(value) && String(value) === source ? value : new RawNumber(source)
}

function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let backslashes = 0
    while (text.charCodeAt(end - 1 - backslashes) === 0x5c) backslashes++
    if (backslashes % 2 === 0) return end
  }
  return text.length
}
