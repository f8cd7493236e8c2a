/**
 * Unpadded Base64, standard and URL-safe.
 * Spec: appendices, "Unpadded Base64".
 */

const STANDARD = /^[A-Za-z0-9+/]*={0,2}$/
const URL_SAFE = /^[A-Za-z0-9_-]*={0,2}$/

/** Encodes bytes with the standard alphabet and no padding. Spec: appendices, "Unpadded Base64". */
export function encodeBase64(bytes: Uint8Array): string {
  return withoutPadding(asBuffer(bytes).toString('base64'))
}

/** Encodes bytes with the URL-safe alphabet and no padding. Spec: appendices, "URL-safe unpadded Base64". */
export function encodeBase64Url(bytes: Uint8Array): string {
  return asBuffer(bytes).toString('base64url')
}

/**
 * Decodes standard Base64, padded or not, as the spec advises. Anything outside the alphabet or of an impossible length
 * gives `undefined`; Node's own decoder would skip such characters silently.
 */
export function decodeBase64(text: string): Uint8Array | undefined {
  return decode(text, STANDARD)
}

/** Decodes URL-safe Base64, padded or not; `undefined` when it is not that. */
export function decodeBase64Url(text: string): Uint8Array | undefined {
  return decode(text, URL_SAFE)
}

/** Drops the `=` at the end of a Base64 text. */
export function withoutPadding(text: string): string {
  let end = text.length
  while (end > 0 && text.charCodeAt(end - 1) === 0x3d) end--
  return end === text.length ? text : text.slice(0, end)
}

function decode(text: string, alphabet: RegExp): Uint8Array | undefined {
  if (!alphabet.test(text)) return undefined
  const bare = withoutPadding(text)
  if (bare.length % 4 === 1) return undefined
  return new Uint8Array(Buffer.from(bare, 'base64'))
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
