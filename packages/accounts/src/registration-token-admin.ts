import { randomBytes } from 'node:crypto'
import { MatrixError } from '@weft/matrix'
import { RegistrationTokensWriter } from '@weft/storage'
import type { Clock, FencedTransactions } from './ports.ts'

/** A registration token as Synapse's admin API shows it. */
export interface RegistrationToken {
  readonly token: string
  readonly uses_allowed: number | null
  /** Always 0: a use is taken in the transaction that makes the account. */
  readonly pending: number
  readonly completed: number
  /** ms since the epoch. */
  readonly expiry_time: number | null
}

/** What an administrator asks for; `expiryTime` is ms since 1970, and what is absent is not limited. */
export interface NewRegistrationToken {
  readonly token?: string | undefined
  /** Of a token that is made up. Default 16. */
  readonly length?: number | undefined
  readonly usesAllowed?: number | undefined
  readonly expiryTime?: number | undefined
}

/** Spec: "Token-authenticated registration": opaque identifiers of at most 64 characters. */
const TOKEN = /^[A-Za-z0-9._~-]{1,64}$/

/** Makes registration tokens, for administrators. */
export class RegistrationTokenAdmin {
  readonly #fenced: FencedTransactions
  readonly #clock: Clock

  constructor(options: { readonly fenced: FencedTransactions; readonly clock: Clock }) {
    this.#fenced = options.fenced
    this.#clock = options.clock
  }

  /** @throws MatrixError M_INVALID_PARAM for a token that cannot be, is there already or would never be valid */
  async create(wanted: NewRegistrationToken): Promise<RegistrationToken> {
    const { usesAllowed, expiryTime } = wanted
    const token =
      wanted.token ??
      randomBytes(64)
        .toString('base64url')
        .slice(0, wanted.length ?? 16)
    if (!TOKEN.test(token)) throw new MatrixError('M_INVALID_PARAM', 'token must be 1 to 64 of the characters A-Z a-z 0-9 . _ ~ -')
    if (expiryTime !== undefined && expiryTime <= this.#clock.now()) {
      throw new MatrixError('M_INVALID_PARAM', 'expiry_time must not be in the past')
    }
    const created = await this.#fenced.transaction((tx) => new RegistrationTokensWriter(tx).create(token, { usesAllowed, expiryTime }))
    if (!created) throw new MatrixError('M_INVALID_PARAM', 'There is such a token already')
    return { token, uses_allowed: usesAllowed ?? null, pending: 0, completed: 0, expiry_time: expiryTime ?? null }
  }
}
