import type { Requester } from '@weft/http'
import { isDeviceId, type JsonObject, type JsonValue } from '@weft/matrix'
import { z } from 'zod'
import type { WriterServices } from '../../services.ts'

/** An `auth` dict: the engine reads it, whatever it holds. */
export const authDict = z.custom<JsonObject>((value) => typeof value === 'object' && !Array.isArray(value)).nullish()

/** Deletes devices once the user has given the password for exactly these. */
export async function deleteDevicesWithAuth(
  ctx: WriterServices,
  requester: Requester,
  operation: string,
  deviceIds: readonly string[],
  auth: JsonValue | undefined,
): Promise<void> {
  await ctx.uia.run({ operation, requester, auth, boundTo: { devices: [...deviceIds] }, flows: [['m.login.password']] })
  await ctx.accounts.sessions.deleteDevices(requester.userId, deviceIds.filter(isDeviceId))
}
