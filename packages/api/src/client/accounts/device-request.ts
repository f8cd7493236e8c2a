import type { DeviceRequest } from '@weft/accounts'
import { isDeviceId, type JsonObject, MatrixError, own } from '@weft/matrix'

/**
 * The device that a login or a registration asks for, with where it asks from.
 * @throws MatrixError M_BAD_JSON, M_INVALID_PARAM
 */
export function readDevice(body: JsonObject, request: { readonly ip: string; readonly userAgent: string }): DeviceRequest {
  const deviceId = optionalString(body, 'device_id')
  // NOTSPEC: an empty id is as good as none, as in Synapse.
  const chosen = deviceId === '' ? undefined : deviceId
  if (chosen !== undefined && !isDeviceId(chosen)) throw new MatrixError('M_INVALID_PARAM', 'device_id must be 1 to 255 bytes without NUL')
  return {
    deviceId: chosen,
    displayName: optionalString(body, 'initial_device_display_name'),
    ip: request.ip,
    userAgent: request.userAgent,
  }
}

/** @throws MatrixError M_BAD_JSON for anything but a string without NUL */
export function optionalString(body: JsonObject, key: string): string | undefined {
  const value = own(body, key)
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string') throw new MatrixError('M_BAD_JSON', `${key} must be a string`)
  if (value.includes('\0')) throw new MatrixError('M_BAD_JSON', `${key} contains NUL`)
  return value
}

/** @throws MatrixError M_BAD_JSON for anything but a boolean */
export function optionalBoolean(body: JsonObject, key: string): boolean | undefined {
  const value = own(body, key)
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'boolean') throw new MatrixError('M_BAD_JSON', `${key} must be a boolean`)
  return value
}
