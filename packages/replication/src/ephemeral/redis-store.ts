import type { Clock } from '@weft/kernel'
import type { Redis } from 'ioredis'
import { LuaScript, luaNow } from '../lua.ts'
import { keyPrefix, type RedisConnections } from '../redis.ts'
import type { TypingRow } from '../streams/typing.ts'
import type { BucketAnswer, BucketLimit, EphemeralStore, TypingChange, TypingRoom } from './ephemeral-store.ts'
import { MemoryBuckets } from './memory-buckets.ts'

/*
 * Keys, under the server's prefix: typing:position (the last id), typing:rooms (sorted: room id by the earliest end of
 * a user's typing), typing:nids (room id -> room nid), typing:in:<room id> (sorted: user id by end), rate:<key> (bucket).
 */

// A missing position begins at the clock, so that ids rise again after Redis lost its memory; ARGV's floor guards against a clock that went back.
const typingLua = `${luaNow}
local function next_position(floor)
  if redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('SET', KEYS[1], string.format('%.0f', math.max(now, tonumber(floor))))
  end
  return redis.call('INCR', KEYS[1])
end
local function index(room, users)
  local first = redis.call('ZRANGE', users, 0, 0, 'WITHSCORES')
  if first[2] then
    redis.call('ZADD', KEYS[2], first[2], room)
  else
    redis.call('ZREM', KEYS[2], room)
    redis.call('HDEL', KEYS[3], room)
  end
end
local function delay()
  local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')
  if first[2] then return math.max(0, tonumber(first[2]) - now) end
  return -1
end
`
const setTyping = new LuaScript(`${typingLua}
local room, nid, user, timeout, floor = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local users = KEYS[4]
local changed = redis.call('ZREMRANGEBYSCORE', users, '-inf', now)
if timeout >= 0 then
  changed = changed + redis.call('ZADD', users, now + timeout, user)
  redis.call('HSET', KEYS[3], room, nid)
else
  changed = changed + redis.call('ZREM', users, user)
end
index(room, users)
local position = 0
if changed > 0 then position = next_position(floor) end
return { position, redis.call('ZRANGE', users, 0, -1), delay() }
`)
const expireTyping = new LuaScript(`${typingLua}
local rows = {}
for _, room in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 200)) do
  local users = KEYS[4] .. room
  local nid = redis.call('HGET', KEYS[3], room)
  redis.call('ZREMRANGEBYSCORE', users, '-inf', now)
  index(room, users)
  if nid then rows[#rows + 1] = { next_position(ARGV[1]), nid, room, redis.call('ZRANGE', users, 0, -1) } end
end
local told = {}
for _, row in ipairs(rows) do told[row[3]] = true end
for i = 2, #ARGV, 2 do
  local room = ARGV[i]
  if not told[room] and redis.call('EXISTS', KEYS[4] .. room) == 0 then
    rows[#rows + 1] = { next_position(ARGV[1]), ARGV[i + 1], room, {} }
  end
end
return { rows, delay() }
`)
const readTyping = new LuaScript(`${luaNow}
local rows = {}
for _, room in ipairs(redis.call('ZRANGE', KEYS[2], 0, -1)) do
  local nid = redis.call('HGET', KEYS[3], room)
  if nid then rows[#rows + 1] = { nid, room, redis.call('ZRANGEBYSCORE', KEYS[4] .. room, '(' .. now, '+inf') } end
end
return { redis.call('GET', KEYS[1]) or '0', rows }
`)
const takeTokens = new LuaScript(`${luaNow}
local rate, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = tonumber(bucket[1] or ARGV[2])
tokens = math.min(burst, tokens + math.max(0, now - tonumber(bucket[2] or now)) / 1000 * rate)
local wait = 0
if tokens >= cost then tokens = tokens - cost else wait = math.ceil((cost - tokens) / rate * 1000) end
redis.call('HSET', KEYS[1], 'tokens', tostring(tokens), 'at', string.format('%.0f', now))
redis.call('PEXPIRE', KEYS[1], math.ceil(burst / rate * 1000) + 1000)
return wait
`)

/** The ephemeral store of the split layout. While Redis is away, typing pauses and buckets are each process's own. */
export class RedisEphemeralStore implements EphemeralStore {
  readonly #connections: RedisConnections
  readonly #redis: Redis
  readonly #prefix: string
  readonly #fallback: MemoryBuckets
  #lastPosition = 0

  constructor(options: { readonly redis: RedisConnections; readonly serverName: string; readonly clock: Clock }) {
    this.#connections = options.redis
    this.#redis = options.redis.commands('ephemeral')
    this.#prefix = keyPrefix(options.serverName)
    this.#fallback = new MemoryBuckets(options)
  }

  async setTyping({ roomNid, roomId }: TypingRoom, userId: string, timeoutMs: number | undefined): Promise<TypingChange> {
    const args = [roomId, roomNid, userId, timeoutMs ?? -1, this.#lastPosition]
    const answer = await setTyping.run(this.#redis, this.#typingKeys(`typing:in:${roomId}`), args)
    const [position, users, delay] = answer as [number, string[], number]
    return { row: position > 0 ? this.#row(position, roomNid, roomId, users) : undefined, nextExpiryMs: delayMs(delay) }
  }

  async expireTyping(due: readonly TypingRoom[]): Promise<{ rows: TypingRow[]; nextExpiryMs: number | undefined }> {
    const args = [this.#lastPosition, ...due.flatMap(({ roomId, roomNid }) => [roomId, roomNid])]
    const answer = await expireTyping.run(this.#redis, this.#typingKeys('typing:in:'), args)
    const [rows, delay] = answer as [[number, string, string, string[]][], number]
    return {
      rows: rows.map(([position, nid, roomId, users]) => this.#row(position, Number(nid), roomId, users)),
      nextExpiryMs: delayMs(delay),
    }
  }

  async typing(): Promise<{ position: number; rows: TypingRow[] }> {
    const answer = await readTyping.run(this.#redis, this.#typingKeys('typing:in:'), [])
    const [text, rows] = answer as [string, [string, string, string[]][]]
    const position = Number(text)
    return { position, rows: rows.map(([nid, roomId, users]) => ({ position, roomNid: Number(nid), roomId, userIds: users.sort() })) }
  }

  async take(key: string, limit: BucketLimit, cost = 1): Promise<BucketAnswer> {
    try {
      const wait = (await takeTokens.run(this.#redis, [`${this.#prefix}rate:${key}`], [limit.perSecond, limit.burstCount, cost])) as number
      return wait === 0 ? { ok: true } : { ok: false, retryAfterMs: wait }
    } catch {
      // The connection logs that Redis is away; a limit per process is better than none, and than refusing everybody.
      return await this.#fallback.take(key, limit, cost)
    }
  }

  async stop(): Promise<void> {
    this.#connections.release(this.#redis)
  }

  #typingKeys(last: string): string[] {
    return ['typing:position', 'typing:rooms', 'typing:nids', last].map((key) => this.#prefix + key)
  }

  #row(position: number, roomNid: number, roomId: string, users: string[]): TypingRow {
    this.#lastPosition = Math.max(this.#lastPosition, position)
    return { position, roomNid, roomId, userIds: users.sort() }
  }
}

function delayMs(delay: number): number | undefined {
  return delay < 0 ? undefined : delay
}
