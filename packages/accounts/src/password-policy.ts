import { MatrixError } from '@weft/matrix'
import { MAX_PASSWORD_LENGTH } from './password-hasher.ts'

/** Demands on new passwords, under the names of homeserver.yaml. */
export interface PasswordPolicy {
  readonly minimum_length: number
  readonly require_digit: boolean
  readonly require_symbol: boolean
  readonly require_lowercase: boolean
  readonly require_uppercase: boolean
}

/** @throws MatrixError M_WEAK_PASSWORD, M_INVALID_PARAM for one that is too long */
export function checkPassword(password: string, policy: PasswordPolicy | undefined): void {
  if (password === '') throw weak('The password is empty')
  if (password.length > MAX_PASSWORD_LENGTH) {
    throw new MatrixError('M_INVALID_PARAM', `A password must not be longer than ${MAX_PASSWORD_LENGTH} characters`)
  }
  if (policy === undefined) return
  if (password.length < policy.minimum_length) throw weak(`The password must be at least ${policy.minimum_length} characters long`)
  if (policy.require_digit && !/\p{Nd}/u.test(password)) throw weak('The password must include a digit')
  if (policy.require_symbol && !/[^\p{L}\p{N}]/u.test(password)) throw weak('The password must include a symbol')
  if (policy.require_lowercase && !/\p{Ll}/u.test(password)) throw weak('The password must include a lower-case letter')
  if (policy.require_uppercase && !/\p{Lu}/u.test(password)) throw weak('The password must include an upper-case letter')
}

function weak(message: string): MatrixError {
  return new MatrixError('M_WEAK_PASSWORD', message)
}
