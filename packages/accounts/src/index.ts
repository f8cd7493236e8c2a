export { makeAccessToken } from './access-token.ts'
export { AccountData, AccountDataReads, accountDataLimits } from './account-data.ts'
export { TokenAuthenticator, type TokenAuthenticatorOptions, type TokenOwner } from './authenticator.ts'
export { type ClientDevice, DeviceReads } from './devices.ts'
export { type Fence, fencedTransactions } from './fenced-transactions.ts'
export { FilterReads, Filters, filterLimits } from './filters.ts'
export { LastSeen } from './last-seen.ts'
export { MemberRooms } from './member-rooms.ts'
export { accountsMetrics, showAccounts } from './metrics.ts'
export { PasswordHasher, type PasswordHasherOptions } from './password-hasher.ts'
export { PasswordLogin, type PasswordLoginOptions } from './password-login.ts'
export type { PasswordPolicy } from './password-policy.ts'
export type {
  BucketLimit,
  Buckets,
  Clock,
  FencedTransactions,
  KnownRoom,
  Log,
  MembershipLookup,
  RoomLookup,
  StreamWrites,
  WriteStores,
} from './ports.ts'
export { type JoinedRooms, type MembershipRefresher, ProfilePropagation, type ProfilePropagationOptions } from './profile-propagation.ts'
export { type MemberProfile, ProfileReads, Profiles } from './profiles.ts'
export { StoredReceiptEvents } from './receipt-events.ts'
export { type ReceiptEvent, type ReceiptEvents, Receipts } from './receipts.ts'
export { Registration, type RegistrationSettings } from './registration.ts'
export type { NewRegistrationToken, RegistrationToken } from './registration-token-admin.ts'
export {
  type AccountReads,
  type AccountReadsOptions,
  type AccountServices,
  type AccountServicesOptions,
  accountReads,
  accountServices,
} from './services.ts'
export { type DeviceRequest, MAX_DEVICES, type RevocationAcks, type Session, Sessions } from './sessions.ts'
export { type AccountSettings, accountSettings } from './settings.ts'
export { SharedSecretRegistration, type SharedSecretRequest, sharedSecretMac } from './shared-secret-registration.ts'
export { ToDevice, toDeviceLimits } from './to-device.ts'
export { Typing, type TypingStore } from './typing.ts'
export { UiaSessions, type UiaSessionsOptions } from './uia-sessions.ts'
