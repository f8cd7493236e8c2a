import type { Requester } from '@weft/http'
import { MatrixError } from '@weft/matrix'

/** Refuses a suspended user. Spec: client-server API, "Account suspension". @throws MatrixError M_USER_SUSPENDED */
export function requireNotSuspended(requester: Requester): void {
  if (requester.suspended) throw new MatrixError('M_USER_SUSPENDED', 'Your account is suspended')
}
