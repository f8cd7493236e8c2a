import type { Requester } from '@weft/http'
import { MatrixError } from '@weft/matrix'

/** Spec: what a path names must be the requester's own. @throws MatrixError M_FORBIDDEN */
export function requireOwn(requester: Requester, userId: string): void {
  if (requester.userId !== userId) throw new MatrixError('M_FORBIDDEN', 'This belongs to another user')
}
