import pg from 'pg'

/** The database could not be reached, or the connection broke: try again later (503 to a client). */
export class ConnectionLost extends Error {
  override readonly name: string = 'ConnectionLost'
}

/**
 * The connection broke after COMMIT was sent and before the answer came: the transaction is either there or not.
 * Whoever catches it looks for what it wrote before it writes anything else.
 */
export class CommitOutcomeUnknown extends ConnectionLost {
  override readonly name = 'CommitOutcomeUnknown'
  /** The backend that ran it: once that is gone (Database.endBackend), what can be read is the outcome. */
  readonly backend: number

  constructor(backend: number, cause: unknown) {
    super('the connection broke while committing: the outcome is not known', { cause })
    this.backend = backend
  }
}

/** What PostgreSQL answered, with the name of the statement it answered to. */
export interface StatementError extends pg.DatabaseError {
  statement?: string
}

const uniqueViolation = '23505'
const featureNotSupported = '0A000'
/** Answers after which PostgreSQL closes the connection, or did not open it. */
const fatalCodes = new Set(['57P01', '57P02', '57P03', '57P04', '57P05', '25P03', '25P04', '53300'])
/**
 * Answers of a server that takes no writes for now, whatever they are: one that was made a replica or read-only, whose disk or memory is
 * full. Its connections are given up: after a failover a new one may lead to the server that does.
 */
const refusalCodes = new Set(['25006', '53100', '53200'])

/** True for a violated UNIQUE or primary key constraint; with a name, of that constraint or unique index only. */
export function isUniqueViolation(err: unknown, constraint?: string): boolean {
  return err instanceof pg.DatabaseError && err.code === uniqueViolation && (constraint === undefined || err.constraint === constraint)
}

/** True where the database could not be reached or the connection broke, whether or not the outcome is known. */
export function isConnectionError(err: unknown): err is ConnectionLost {
  return err instanceof ConnectionLost
}

/** True where a migration changed the columns under a prepared statement: parsed again, it works. */
export function isStalePlan(err: unknown): boolean {
  return err instanceof pg.DatabaseError && err.code === featureNotSupported && err.routine === 'RevalidateCachedQuery'
}

/** True where PostgreSQL's answer means that this connection is over, or is to be given up. */
export function isFatalAnswer(err: unknown): boolean {
  if (!(err instanceof pg.DatabaseError)) return false
  return (
    err.severity === 'FATAL' ||
    err.severity === 'PANIC' ||
    (err.code !== undefined && (fatalCodes.has(err.code) || refusalCodes.has(err.code) || err.code.startsWith('08')))
  )
}

/** True where PostgreSQL is there and refuses what everybody writes: an operator has to hear why. */
export function isRefusal(err: unknown): boolean {
  const answer = err instanceof ConnectionLost ? err.cause : err
  return answer instanceof pg.DatabaseError && answer.code !== undefined && refusalCodes.has(answer.code)
}
