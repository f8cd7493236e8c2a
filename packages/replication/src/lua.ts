import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'

/** A script that Redis runs atomically; its text is sent only where Redis does not have it (the first time, or after a restart). */
export class LuaScript {
  readonly #text: string
  readonly #sha: string

  constructor(text: string) {
    this.#text = text
    this.#sha = createHash('sha1').update(text).digest('hex')
  }

  /** @throws whatever ioredis throws while Redis is away */
  async run(redis: Redis, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown> {
    try {
      return await redis.evalsha(this.#sha, keys.length, ...keys, ...args)
    } catch (err) {
      if (!(err instanceof Error && err.message.startsWith('NOSCRIPT'))) throw err
      return await redis.eval(this.#text, keys.length, ...keys, ...args)
    }
  }
}

/** Redis's clock in milliseconds, as the Lua local `now`: all processes agree on it. */
export const luaNow = `local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
`
