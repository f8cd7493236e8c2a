import { hash, randomBytes, randomInt } from 'node:crypto'

/** 192 random bits; what comes before them is a hint only. */
const RANDOM_BYTES = 24
const DEVICE_ID_LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
const DEVICE_ID_LENGTH = 10

/** Makes `wft_<base64url localpart>_<random>`: the router reads the localpart as a hint for affinity, and nothing else does. */
export function makeAccessToken(localpart: string): string {
  return `wft_${Buffer.from(localpart).toString('base64url')}_${randomBytes(RANDOM_BYTES).toString('base64url')}`
}

/** What is kept of an access token. Tokens have enough entropy that no salt or slow hash is needed. */
export function hashAccessToken(accessToken: string): Buffer {
  return hash('sha256', accessToken, 'buffer')
}

/** A device id for a client that chose none. */
export function makeDeviceId(): string {
  let id = ''
  for (let i = 0; i < DEVICE_ID_LENGTH; i++) id += DEVICE_ID_LETTERS[randomInt(DEVICE_ID_LETTERS.length)]
  return id
}
