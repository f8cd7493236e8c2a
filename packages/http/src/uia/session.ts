import type { JsonObject, JsonValue } from '@weft/matrix'

/** A user-interactive auth session. Neither a password nor anything else that a stage was submitted with is part of it (R24). */
export interface UiaSession {
  readonly id: string
  /** The endpoint id of the one operation that this session is for. */
  readonly operation: string
  readonly userId: string | undefined
  /** A keyed hash of what was asked for: of no use to whoever only has the database. */
  readonly requestHash: Uint8Array
  /** Stage type -> what its verifier found, in the order of completion. */
  readonly completed: JsonObject
}

/** Keeps sessions in PostgreSQL, so that each request of a flow may reach another process. */
export interface UiaStore {
  create(session: UiaSession): Promise<void>
  /** Undefined for a session that does not exist or is older than `ui_auth.session_timeout`. The id is well-formed. */
  get(id: string): Promise<UiaSession | undefined>
  /** Adds a stage to those completed, whatever other requests of the session do meanwhile. Undefined when the session is gone. */
  complete(id: string, stage: string, result: JsonValue): Promise<UiaSession | undefined>
  /** Returns false when it was gone already: of two requests that end a session one alone may go on. */
  delete(id: string): Promise<boolean>
}
