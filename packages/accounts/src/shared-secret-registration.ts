import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { MatrixError } from '@weft/matrix'
import { MAX_PASSWORD_LENGTH } from './password-hasher.ts'
import type { Clock } from './ports.ts'

export interface SharedSecretRegistrationOptions {
  /** registration_shared_secret; absent where this way is closed. */
  readonly secret: string | undefined
  readonly clock: Clock
}

/** A registration by the shared secret. `mac` is hex, as {@link sharedSecretMac} makes it. */
export interface SharedSecretRequest {
  readonly nonce: string
  readonly username: string
  readonly password: string
  readonly admin: boolean
  /** Hex HMAC-SHA1. */
  readonly mac: string
}

const NONCE_TIMEOUT_MS = 60_000
/** The oldest nonces go first: whoever floods this only makes others ask again. */
const MAX_NONCES = 1_000

/**
 * Registration for who knows the server's secret, in Synapse's protocol: its register_new_matrix_user and `weft register-user`
 * use it. A nonce counts once, whether or not its MAC is right; nonces of a writer die with it.
 */
export class SharedSecretRegistration {
  readonly #secret: string | undefined
  readonly #clock: Clock
  readonly #nonces = new Map<string, number>()

  constructor(options: SharedSecretRegistrationOptions) {
    if (options.secret === '') throw new Error('registration_shared_secret is empty')
    this.#secret = options.secret
    this.#clock = options.clock
  }

  /** @throws MatrixError M_UNKNOWN (400) where no secret is set */
  makeNonce(): string {
    this.#requireSecret()
    const nonce = randomBytes(64).toString('hex')
    if (this.#nonces.size >= MAX_NONCES) this.#nonces.delete(this.#nonces.keys().next().value as string)
    this.#nonces.set(nonce, this.#clock.now() + NONCE_TIMEOUT_MS)
    return nonce
  }

  /** @throws MatrixError M_UNKNOWN (400) for a nonce that was not given, used or too old; M_FORBIDDEN for a wrong MAC */
  verify(request: SharedSecretRequest): void {
    const secret = this.#requireSecret()
    const validUntil = this.#nonces.get(request.nonce)
    this.#nonces.delete(request.nonce)
    if (validUntil === undefined || validUntil < this.#clock.now())
      throw new MatrixError('M_UNKNOWN', 'unrecognised nonce', { status: 400 })
    if (request.username.length > 512) throw new MatrixError('M_UNKNOWN', 'Invalid username', { status: 400 })
    if (request.password.length > MAX_PASSWORD_LENGTH) throw new MatrixError('M_UNKNOWN', 'Invalid password', { status: 400 })
    const expected = Buffer.from(sharedSecretMac(secret, request))
    const given = Buffer.from(request.mac)
    if (given.length !== expected.length || !timingSafeEqual(given, expected)) throw new MatrixError('M_FORBIDDEN', 'HMAC incorrect')
  }

  #requireSecret(): string {
    if (this.#secret === undefined) throw new MatrixError('M_UNKNOWN', 'Shared secret registration is not enabled', { status: 400 })
    return this.#secret
  }
}

/** The hex HMAC-SHA1 that proves knowledge of the secret. None of the parts may contain NUL. */
export function sharedSecretMac(secret: string, request: Omit<SharedSecretRequest, 'mac'>): string {
  const parts = [request.nonce, request.username, request.password, request.admin ? 'admin' : 'notadmin']
  return createHmac('sha1', secret).update(parts.join('\0')).digest('hex')
}
