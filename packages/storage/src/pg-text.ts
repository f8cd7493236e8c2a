/**
 * PostgreSQL's `text` holds no NUL and the driver's UTF-8 no lone surrogate, but an event's type and state key may have
 * both (R03, R44). Columns hold such strings in an escaped form; all others, which is nearly all, as they are.
 *
 * U+0001 escapes: U+0001 U+0001 is U+0001 itself, U+0001 and four hex digits are the UTF-16 unit they name.
 */

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is escaped.
const NEEDS_ESCAPE = /[\u0000\u0001]/
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is escaped.
const ESCAPED = /\u0001(?:\u0001|([0-9a-f]{4}))/g

/** The form of a string that a `text` column can hold. Equal strings have equal forms, and order does not matter here. */
export function toPgText(value: string): string {
  if (!NEEDS_ESCAPE.test(value) && value.isWellFormed()) return value
  let text = ''
  for (const char of value) {
    const unit = char.charCodeAt(0)
    if (unit === 1) text += '\u0001\u0001'
    else if (unit === 0 || !char.isWellFormed()) text += `\u0001${unit.toString(16).padStart(4, '0')}`
    else text += char
  }
  return text
}

/** The string that {@link toPgText} was given. */
export function fromPgText(text: string): string {
  if (!text.includes('\u0001')) return text
  return text.replace(ESCAPED, (_match, hex?: string) => (hex === undefined ? '\u0001' : String.fromCharCode(Number.parseInt(hex, 16))))
}
