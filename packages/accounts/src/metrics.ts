import { defineMetrics, type Metrics } from '@weft/kernel'
import type { TokenAuthenticator } from './authenticator.ts'
import type { PasswordHasher } from './password-hasher.ts'

/** What accounts count. */
export const accountsMetrics = defineMetrics({
  tokenLookups: {
    type: 'counter',
    name: 'weft_access_token_lookups_total',
    help: 'Access tokens judged: found in memory, found in PostgreSQL, or refused by PostgreSQL.',
    labels: ['outcome'],
  },
  tokenBytes: { type: 'gauge', name: 'weft_access_token_cache_bytes', help: 'Bytes of valid access tokens kept in memory.', labels: [] },
  passwordHashes: { type: 'counter', name: 'weft_password_hashes_total', help: 'Passwords hashed or verified.', labels: [] },
  passwordSeconds: {
    type: 'counter',
    name: 'weft_password_hash_seconds_total',
    help: 'Seconds that hashing took, without waiting.',
    labels: [],
  },
  passwordsWaiting: { type: 'gauge', name: 'weft_passwords_waiting', help: 'Passwords that wait to be hashed.', labels: [] },
  passwordsRefused: {
    type: 'counter',
    name: 'weft_passwords_refused_total',
    help: 'Logins and registrations refused with 503 because too many waited.',
    labels: [],
  },
})

/** Shows a process's authenticator and, in a writer, its password hasher. Returns a function that ends it. */
export function showAccounts(metrics: Metrics, shown: { authenticator?: TokenAuthenticator; hasher?: PasswordHasher }): () => void {
  const instruments = metrics.use(accountsMetrics)
  const { authenticator, hasher } = shown
  const ends: (() => void)[] = []
  if (authenticator !== undefined) {
    ends.push(
      instruments.tokenLookups.sample(() => Object.entries(authenticator.lookups).map(([outcome, count]) => [{ outcome }, count] as const)),
      instruments.tokenBytes.sample(() => authenticator.cachedBytes),
    )
  }
  if (hasher !== undefined) {
    ends.push(
      instruments.passwordHashes.sample(() => hasher.hashed),
      instruments.passwordSeconds.sample(() => hasher.seconds),
      instruments.passwordsWaiting.sample(() => hasher.waiting),
      instruments.passwordsRefused.sample(() => hasher.refused),
    )
  }
  return () => {
    for (const end of ends) end()
  }
}
