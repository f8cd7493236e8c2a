import type { AnyEndpoint } from '@weft/http'
import { adminCreateRegistrationToken } from './admin-create-registration-token.ts'
import { adminRegister } from './admin-register.ts'
import { adminRegisterNonce } from './admin-register-nonce.ts'
import { checkUsernameAvailability } from './check-username-availability.ts'
import { defineFilter } from './define-filter.ts'
import { deleteDevice } from './delete-device.ts'
import { deleteDevices } from './delete-devices.ts'
import { deleteProfileField } from './delete-profile-field.ts'
import { deleteRoomTag } from './delete-room-tag.ts'
import { getAccountData } from './get-account-data.ts'
import { getCapabilities } from './get-capabilities.ts'
import { getDevice } from './get-device.ts'
import { getDevices } from './get-devices.ts'
import { getFilter } from './get-filter.ts'
import { getLoginFlows } from './get-login-flows.ts'
import { getProfile } from './get-profile.ts'
import { getProfileField } from './get-profile-field.ts'
import { getPushRules } from './get-push-rules.ts'
import { getRoomAccountData } from './get-room-account-data.ts'
import { getRoomTags } from './get-room-tags.ts'
import { getVersions } from './get-versions.ts'
import { getWellKnownClient } from './get-well-known-client.ts'
import { getWellKnownSupport } from './get-well-known-support.ts'
import { login } from './login.ts'
import { logout } from './logout.ts'
import { logoutAll } from './logout-all.ts'
import { register } from './register.ts'
import { registrationTokenValidity } from './registration-token-validity.ts'
import { setAccountData } from './set-account-data.ts'
import { setProfileField } from './set-profile-field.ts'
import { setRoomAccountData } from './set-room-account-data.ts'
import { setRoomTag } from './set-room-tag.ts'
import { updateDevice } from './update-device.ts'
import { whoami } from './whoami.ts'

/** Endpoints for accounts, and for what the server says about itself. */
export const clientAccounts: readonly AnyEndpoint[] = [
  adminCreateRegistrationToken,
  adminRegister,
  adminRegisterNonce,
  checkUsernameAvailability,
  defineFilter,
  deleteDevice,
  deleteDevices,
  deleteProfileField,
  deleteRoomTag,
  getAccountData,
  getCapabilities,
  getDevice,
  getDevices,
  getFilter,
  getLoginFlows,
  getProfile,
  getProfileField,
  getPushRules,
  getRoomAccountData,
  getRoomTags,
  getVersions,
  getWellKnownClient,
  getWellKnownSupport,
  login,
  logout,
  logoutAll,
  register,
  registrationTokenValidity,
  setAccountData,
  setProfileField,
  setRoomAccountData,
  setRoomTag,
  updateDevice,
  whoami,
]
