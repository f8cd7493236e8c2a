import { type Errcode, type JsonObject, type JsonValue, MatrixError, own, ownString } from '@weft/matrix'

/** What a stage is verified for. */
export interface StageContext {
  readonly operation: string
  /** The requester; undefined where an operation has none, as registration. */
  readonly userId: string | undefined
}

/** What came of a stage. */
export type StageOutcome =
  /** `result` is kept in the session and handed to the operation; it must be no secret. */
  { readonly ok: true; readonly result: JsonValue } | { readonly ok: false; readonly errcode: Errcode; readonly error: string }

/** Verifies one type of stage. */
export interface StageVerifier {
  readonly type: string
  /** What a client needs to know to complete the stage: its `params`. */
  readonly params?: JsonObject
  /**
   * @param auth the `auth` dict of the request
   * @returns a failure where the client may try again
   * @throws MatrixError for a request that is wrong for another reason: malformed, rate limited
   */
  verify(auth: JsonObject, context: StageContext): Promise<StageOutcome>
}

/** Spec: "Dummy Auth". */
export const dummyStage: StageVerifier = {
  type: 'm.login.dummy',
  verify: async () => ({ ok: true, result: true }),
}

/** Finds the account that an identifier and a password are of. */
export interface PasswordVerifier {
  /** @returns the user id. @throws MatrixError M_FORBIDDEN for wrong credentials */
  verify(auth: JsonObject): Promise<string>
}

/** Spec: "Password-based". The password must be the requester's own: another account's password proves nothing here. */
export function passwordStage(passwords: PasswordVerifier): StageVerifier {
  const wrong: StageOutcome = { ok: false, errcode: 'M_FORBIDDEN', error: 'Invalid username or password' }
  return {
    type: 'm.login.password',
    async verify(auth, { userId }) {
      try {
        const verified = await passwords.verify(auth)
        return verified === userId ? { ok: true, result: verified } : wrong
      } catch (error) {
        if (error instanceof MatrixError && error.errcode === 'M_FORBIDDEN') return { ...wrong, error: error.message }
        throw error
      }
    },
  }
}

/** Knows which registration tokens may be used. */
export interface RegistrationTokens {
  isTokenValid(token: string): Promise<boolean>
}

/** Spec: "Token-authenticated registration". The result is the token, for the registration to use it up in its transaction. */
export function registrationTokenStage(tokens: RegistrationTokens): StageVerifier {
  return {
    type: 'm.login.registration_token',
    async verify(auth) {
      if (own(auth, 'token') === undefined) throw new MatrixError('M_MISSING_PARAM', 'auth.token is missing')
      const token = ownString(auth, 'token')
      if (token === undefined) throw new MatrixError('M_BAD_JSON', 'auth.token must be a string')
      const valid = /^[A-Za-z0-9._~-]{1,64}$/.test(token) && (await tokens.isTokenValid(token))
      return valid ? { ok: true, result: token } : { ok: false, errcode: 'M_UNAUTHORIZED', error: 'Invalid registration token' }
    },
  }
}
