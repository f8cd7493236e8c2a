import type { Config, RateLimit as RateLimitSetting } from '@weft/kernel'
import type { RateLimit, RateLimitClass } from './rate-limit.ts'

/** The limits of homeserver.yaml by class of endpoint; a limit that is off is absent. */
export function endpointLimits(config: Config): Partial<Record<RateLimitClass, RateLimit>> {
  const settings: Record<RateLimitClass, RateLimitSetting> = {
    message: config.rc_message,
    registration: config.rc_registration,
    registrationTokenValidity: config.rc_registration_token_validity,
    login: config.rc_login.address,
    joins: config.rc_joins.local,
    invites: config.rc_invites.per_issuer,
    createRoom: config.rc_room_creation,
  }
  const limits: Partial<Record<RateLimitClass, RateLimit>> = {}
  for (const [name, setting] of Object.entries(settings) as Array<[RateLimitClass, RateLimitSetting]>) {
    const limit = bucketOf(setting)
    if (limit !== undefined) limits[name] = limit
  }
  return limits
}

/** A limit as buckets take it; undefined where it is off. */
export function bucketOf(setting: RateLimitSetting): RateLimit | undefined {
  return setting === false ? undefined : { perSecond: setting.per_second, burstCount: setting.burst_count }
}
