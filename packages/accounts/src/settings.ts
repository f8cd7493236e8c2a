import type { Config, RateLimit } from '@weft/kernel'
import type { PasswordLoginOptions } from './password-login.ts'
import type { BucketLimit } from './ports.ts'
import type { RegistrationSettings } from './registration.ts'

/** What homeserver.yaml says to the accounts. */
export interface AccountSettings {
  readonly settings: RegistrationSettings
  readonly sharedSecret: string | undefined
  readonly loginLimits: PasswordLoginOptions['limits']
  readonly uiaLifetimeMs: number
}

/** The accounts' part of a configuration, as {@link accountServices} and its neighbours take it. */
export function accountSettings(config: Config): AccountSettings {
  const { policy } = config.password_config
  return {
    settings: {
      serverName: config.server_name,
      enabled: config.enable_registration,
      requiresToken: config.registration_requires_token,
      passwordPolicy: policy.enabled ? policy : undefined,
    },
    sharedSecret: config.registration_shared_secret,
    loginLimits: { account: bucketLimit(config.rc_login.account), failedAttempts: bucketLimit(config.rc_login.failed_attempts) },
    uiaLifetimeMs: config.ui_auth.session_timeout,
  }
}

function bucketLimit(limit: RateLimit): BucketLimit | undefined {
  return limit === false ? undefined : { perSecond: limit.per_second, burstCount: limit.burst_count }
}
