import type { Requester } from '@weft/http'
import { MatrixError } from '@weft/matrix'
import { requireOwn } from './own-user.ts'

/** Spec: "Account suspension": changing profile data is forbidden then. @throws MatrixError M_FORBIDDEN, M_USER_SUSPENDED */
export function requireProfileChange(requester: Requester, userId: string): void {
  requireOwn(requester, userId)
  if (requester.suspended) throw new MatrixError('M_USER_SUSPENDED', 'You cannot perform this action while suspended.')
}
