import { z } from 'zod'

const MILLISECONDS = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000, y: 31_536_000_000 } as const
const BYTES = { K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 } as const

/**
 * A length of time as Synapse writes it: a whole number of milliseconds, or a whole number and s, m, h, d, w or y.
 * @returns milliseconds, or undefined for anything else
 */
export function parseDuration(value: string | number): number | undefined {
  const match = /^(\d{1,15})([smhdwy])?$/.exec(String(value))
  if (!match) return undefined
  const ms = Number(match[1]) * (match[2] === undefined ? 1 : MILLISECONDS[match[2] as keyof typeof MILLISECONDS])
  return Number.isSafeInteger(ms) ? ms : undefined
}

/**
 * A number of bytes as Synapse writes it: a whole number, or a whole number and K, M, G or T (powers of 1024; a B may follow).
 * @returns bytes, or undefined for anything else
 */
export function parseSize(value: string | number): number | undefined {
  const match = /^(\d{1,15})(?:([KMGT])B?)?$/.exec(String(value))
  if (!match) return undefined
  const bytes = Number(match[1]) * (match[2] === undefined ? 1 : BYTES[match[2] as keyof typeof BYTES])
  return Number.isSafeInteger(bytes) ? bytes : undefined
}

/** A setting that is a length of time; milliseconds in the parsed configuration. */
export function duration() {
  return z.union([z.string(), z.int().nonnegative()]).transform((value, ctx) => {
    const ms = parseDuration(value)
    if (ms !== undefined) return ms
    ctx.issues.push({
      code: 'custom',
      input: value,
      message: `"${value}" is no length of time: write milliseconds, or a number and s, m, h, d, w or y, such as "5m"`,
    })
    return z.NEVER
  })
}

/** A setting that is a number of bytes. */
export function size() {
  return z.union([z.string(), z.int().nonnegative()]).transform((value, ctx) => {
    const bytes = parseSize(value)
    if (bytes !== undefined) return bytes
    ctx.issues.push({
      code: 'custom',
      input: value,
      message: `"${value}" is no size: write bytes, or a number and K, M, G or T, such as "50M"`,
    })
    return z.NEVER
  })
}
