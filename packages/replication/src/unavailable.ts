import { isConnectionError } from '@weft/storage'
import { asFenced } from './stored-positions.ts'

/** True for errors that pass by themselves: PostgreSQL cannot be reached, or another process is the writer. 503 with Retry-After. */
export function isUnavailable(error: unknown): boolean {
  return isConnectionError(error) || asFenced(error) !== undefined
}
