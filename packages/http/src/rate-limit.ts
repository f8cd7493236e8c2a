import { isIPv6 } from 'node:net'
import { MatrixError } from '@weft/matrix'
import type { Requester } from './auth.ts'
import { retryAfterSeconds } from './errors.ts'

/** A class of limit; each has a setting `rc_*` with `per_second` and `burst_count`, named as Synapse names it. */
export type RateLimitClass =
  | 'message' // rc_message, by user
  | 'registration' // rc_registration, by address
  | 'registrationTokenValidity' // rc_registration_token_validity, by address
  | 'login' // rc_login.address, by address (account and failed_attempts are taken by the login handler)
  | 'joins' // rc_joins.local, by user
  | 'invites' // rc_invites.per_issuer, by user (per_room and per_user are taken by the invite handler)
  | 'createRoom' // rc_room_creation, by user

/** How much of a class one subject may have: `per_second` and `burst_count` of its `rc_*` setting. */
export interface RateLimit {
  readonly perSecond: number
  readonly burstCount: number
}

/** What each class is counted by. */
export const countedBy: Readonly<Record<RateLimitClass, 'user' | 'address'>> = {
  message: 'user',
  registration: 'address',
  registrationTokenValidity: 'address',
  login: 'address',
  joins: 'user',
  invites: 'user',
  createRoom: 'user',
}

/** Token buckets shared by all processes; the key names class and subject. Falls back to per process without Redis. */
export interface TokenBuckets {
  /** Takes `cost` tokens, or says after how many ms one is there. */
  take(
    key: string,
    limit: { perSecond: number; burstCount: number },
    cost?: number,
  ): Promise<{ ok: true } | { ok: false; retryAfterMs: number }>
}

/** Checks the limit of an endpoint's class before its handler runs. */
export interface RateLimiter {
  /** Throws MatrixError M_LIMIT_EXCEEDED (429, retry_after_ms, Retry-After) when the class's bucket is empty. */
  check(limit: RateLimitClass, subject: { readonly ip: string; readonly requester?: Requester }): Promise<void>
}

/**
 * Limits by class over shared buckets. The bucket is the class of the matched endpoint, so neither an alias nor another spelling of
 * a path gives a second one (R33).
 */
export class BucketRateLimiter implements RateLimiter {
  readonly #buckets: TokenBuckets
  readonly #limits: Readonly<Partial<Record<RateLimitClass, RateLimit>>>

  /** @param limits a class that is absent is not limited */
  constructor(buckets: TokenBuckets, limits: Readonly<Partial<Record<RateLimitClass, RateLimit>>>) {
    this.#buckets = buckets
    this.#limits = limits
  }

  async check(limit: RateLimitClass, subject: { readonly ip: string; readonly requester?: Requester }): Promise<void> {
    const rate = this.#limits[limit]
    if (rate === undefined) return
    const key = countedBy[limit] === 'user' ? subject.requester?.userId : addressKey(subject.ip)
    if (key === undefined) throw new Error(`rate limit ${limit} counts by user, and the request has none`)
    const taken = await this.#buckets.take(`${limit}:${key}`, rate)
    if (!taken.ok) throw limitExceeded(taken.retryAfterMs)
  }
}

/** 429 with both ways of saying when to come back. Spec: "Rate limiting". */
export function limitExceeded(retryAfterMs: number): MatrixError {
  return new MatrixError('M_LIMIT_EXCEEDED', 'Too many requests', {
    fields: { retry_after_ms: Math.max(1, Math.ceil(retryAfterMs)) },
    headers: { 'retry-after': retryAfterSeconds(retryAfterMs) },
  })
}

/** What an address is counted as: an IPv6 host has a /64 to draw addresses from, so its first four groups. */
export function addressKey(ip: string): string {
  if (!isIPv6(ip)) return ip
  const [head = '', tail] = ip.split('::', 2)
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const missing = tail === undefined ? 0 : 8 - left.length - right.length
  const groups = [...left, ...new Array<string>(Math.max(0, missing)).fill('0'), ...right]
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':')}::/64`
}
