import { MatrixError } from './errors.ts'
import { type JsonObject, type JsonValue, RawNumber } from './json.ts'
import { ALLOWED, reject, type Verdict } from './verdict.ts'

// Printable ASCII without " and \: written as it is, and ordered alike by UTF-16 unit and by code point.
const PLAIN = /^[ !#-[\]-~]*$/

/**
 * Encodes a value as canonical JSON: shortest form, keys sorted by Unicode code point. A {@link RawNumber} writes its source
 * text, so an event of room versions 1 to 5 keeps its hash; `-0` writes `0`. Members whose value is `undefined` are left out.
 * A recursive writer beats a sorted copy through `JSON.stringify`, which would also put integer-like keys first.
 *
 * Spec: appendices, "Canonical JSON".
 */
export function canonicalJson(value: JsonValue | undefined): string {
  return write(value as JsonValue, false)
}

/**
 * As {@link canonicalJson}, and refuses what strict canonical JSON has no form for, in the same pass.
 *
 * Spec: room version 6, "Canonical JSON".
 * @throws MatrixError M_BAD_JSON for a number that is not an integer within ±(2^53-1) and for lone surrogates
 */
export function strictCanonicalJson(value: JsonValue | undefined): string {
  return write(value as JsonValue, true)
}

/**
 * The strict check of room versions 6 and later, as a rule: no {@link RawNumber}, no float, no lone surrogate.
 *
 * Spec: room version 6, "Canonical JSON"; appendices, "Canonical JSON".
 */
export function checkCanonical(value: JsonValue): Verdict {
  switch (typeof value) {
    case 'string':
      return value.isWellFormed() ? ALLOWED : reject('canonical.surrogate', 'a string has a lone surrogate')
    case 'number':
      return Number.isSafeInteger(value) ? ALLOWED : reject('canonical.number', `${value} is not a canonical integer`)
    case 'object':
      if (value === null) return ALLOWED
      if (value instanceof RawNumber) {
        return reject('canonical.number', `${value.source.slice(0, 40)} is not a canonical integer`)
      }
      if (Array.isArray(value)) {
        for (const item of value) {
          const verdict = checkCanonical(item)
          if (!verdict.ok) return verdict
        }
        return ALLOWED
      }
      for (const key of Object.keys(value)) {
        if (!key.isWellFormed()) return reject('canonical.surrogate', 'a key has a lone surrogate')
        const item = value[key]
        if (item === undefined) continue
        const verdict = checkCanonical(item)
        if (!verdict.ok) return verdict
      }
      return ALLOWED
    default:
      return ALLOWED
  }
}

/** A JSON string literal. `JSON.stringify` escapes as the canonical grammar asks; most strings need none of it. */
export function quoteJson(text: string): string {
  return PLAIN.test(text) ? `"${text}"` : JSON.stringify(text)
}

/** Orders strings by Unicode code point, where JavaScript's own order is by UTF-16 unit. */
export function compareCodePoints(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length)
  for (let i = 0; i < shorter; i++) {
    const x = a.charCodeAt(i)
    const y = b.charCodeAt(i)
    if (x !== y) return codePointRank(x) - codePointRank(y)
  }
  return a.length - b.length
}

// A surrogate stands for a code point above every single unit, so it ranks behind U+E000..U+FFFF.
function codePointRank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit
}

function write(value: JsonValue, strict: boolean): string {
  switch (typeof value) {
    case 'string':
      return writeString(value, strict)
    case 'number':
      return writeNumber(value, strict)
    case 'boolean':
      return value ? 'true' : 'false'
    case 'object':
      if (value === null) return 'null'
      if (Array.isArray(value)) return writeArray(value, strict)
      if (value instanceof RawNumber) {
        if (strict) throw notCanonical(`${value.source.slice(0, 40)} is not an integer within ±(2^53-1)`)
        return value.source
      }
      return writeObject(value, strict)
    default:
      throw new TypeError(`${typeof value} has no JSON form`)
  }
}

function writeString(text: string, strict: boolean): string {
  if (PLAIN.test(text)) return `"${text}"`
  if (strict && !text.isWellFormed()) throw notCanonical('a string has a lone surrogate')
  return JSON.stringify(text)
}

function writeNumber(value: number, strict: boolean): string {
  if (Number.isSafeInteger(value)) return value === 0 ? '0' : String(value)
  if (strict || !Number.isFinite(value)) throw notCanonical(`${value} is not an integer within ±(2^53-1)`)
  return String(value)
}

function writeArray(items: JsonValue[], strict: boolean): string {
  let out = '['
  for (let i = 0; i < items.length; i++) {
    if (i > 0) out += ','
    out += write(items[i] as JsonValue, strict)
  }
  return `${out}]`
}

function writeObject(object: JsonObject, strict: boolean): string {
  const keys = Object.keys(object)
  const plain = sortKeys(keys)
  let out = '{'
  for (const key of keys) {
    const value = object[key]
    if (value === undefined) continue
    out += out.length > 1 ? ',' : ''
    out += plain ? `"${key}":` : `${writeString(key, strict)}:`
    out += write(value, strict)
  }
  return `${out}}`
}

/** Sorts in place by code point; true when every key can be written without escapes. */
function sortKeys(keys: string[]): boolean {
  let plain = true
  let sorted = true
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as string
    if (plain && !PLAIN.test(key)) plain = false
    if (i > 0 && (keys[i - 1] as string) > key) sorted = false
  }
  if (!plain) keys.sort(compareCodePoints)
  else if (!sorted) keys.sort()
  return plain
}

function notCanonical(reason: string): MatrixError {
  return new MatrixError('M_BAD_JSON', `Not canonical JSON: ${reason}`)
}
