import type { Requester } from './auth.ts'

/** A class of limit; each has a setting `rc_*` with `per_second` and `burst_count`, named as Synapse names it. */
export type RateLimitClass =
  | 'message' // rc_message, by user
  | 'registration' // rc_registration, by address
  | 'registrationTokenValidity' // rc_registration_token_validity, by address
  | 'login' // rc_login.address, by address (account and failed_attempts are taken by the login handler)
  | 'joins' // rc_joins.local, by user
  | 'invites' // rc_invites.per_issuer, by user (per_room and per_user are taken by the invite handler)
  | 'createRoom' // rc_room_creation, by user
  | 'presence' // rc_presence.per_user

/** Token buckets shared by all processes; the key names class and subject. Falls back to per process without Redis. */
export interface TokenBuckets {
  /** Takes `cost` tokens, or says after how many ms one is there. */
  take(
    key: string,
    limit: { perSecond: number; burstCount: number },
    cost?: number,
  ): Promise<{ ok: true } | { ok: false; retryAfterMs: number }>
}

export interface RateLimiter {
  /** Throws MatrixError M_LIMIT_EXCEEDED (429, retry_after_ms, Retry-After) when the class's bucket is empty. */
  check(limit: RateLimitClass, subject: { readonly ip: string; readonly requester?: Requester }): Promise<void>
}
