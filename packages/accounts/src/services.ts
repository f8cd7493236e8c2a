import { AccountDataReader, DevicesReader, FiltersReader, ProfilesReader, type Queryable } from '@weft/storage'
import { AccountData, AccountDataReads } from './account-data.ts'
import { DeviceReads } from './devices.ts'
import { FilterReads, Filters } from './filters.ts'
import { MemberRooms } from './member-rooms.ts'
import { PasswordHasher } from './password-hasher.ts'
import { PasswordLogin, type PasswordLoginOptions } from './password-login.ts'
import type { Buckets, MembershipLookup, RoomLookup, WriteStores } from './ports.ts'
import { ProfileReads, Profiles } from './profiles.ts'
import { type ReceiptEvents, Receipts } from './receipts.ts'
import { Registration, type RegistrationSettings } from './registration.ts'
import { RegistrationTokenAdmin } from './registration-token-admin.ts'
import { type RevocationAcks, Sessions } from './sessions.ts'
import { SharedSecretRegistration } from './shared-secret-registration.ts'
import { ToDevice } from './to-device.ts'
import { Typing, type TypingStore } from './typing.ts'

/** What any class may ask about accounts. */
export interface AccountReads {
  readonly accountData: AccountDataReads
  readonly devices: DeviceReads
  readonly filters: FilterReads
  readonly profiles: ProfileReads
  readonly rooms: MemberRooms
}

/** What the writer does with accounts. */
export interface AccountServices {
  readonly accountData: AccountData
  readonly buckets: Buckets
  readonly filters: Filters
  readonly hasher: PasswordHasher
  readonly passwordLogin: PasswordLogin
  readonly profiles: Profiles
  readonly receipts: Receipts
  readonly registration: Registration
  readonly registrationTokens: RegistrationTokenAdmin
  readonly sessions: Sessions
  readonly sharedSecret: SharedSecretRegistration
  readonly toDevice: ToDevice
  readonly typing: Typing
}

/** What the reading side of accounts stands on. */
export interface AccountReadsOptions {
  readonly db: Queryable
  readonly rooms: RoomLookup
  readonly memberships: MembershipLookup
}

/** What the writing side of accounts stands on. */
export interface AccountServicesOptions extends WriteStores {
  readonly settings: RegistrationSettings
  /** registration_shared_secret */
  readonly sharedSecret: string | undefined
  readonly loginLimits: PasswordLoginOptions['limits']
  readonly buckets: Buckets
  readonly acks: RevocationAcks
  readonly typing: TypingStore
  readonly events: ReceiptEvents
  /** See {@link Profiles}. */
  readonly onMemberFieldChanged: (userId: string) => void
  /** Default: one with OWASP's costs. */
  readonly hasher?: PasswordHasher
}

/** Composes the readers. */
export function accountReads(options: AccountReadsOptions): AccountReads {
  const { db, rooms, memberships } = options
  return {
    accountData: new AccountDataReads(new AccountDataReader(db)),
    devices: new DeviceReads(new DevicesReader(db)),
    filters: new FilterReads(new FiltersReader(db)),
    profiles: new ProfileReads(new ProfilesReader(db)),
    rooms: new MemberRooms(rooms, memberships),
  }
}

/** Composes the services of the writer. */
export function accountServices(options: AccountServicesOptions): AccountServices {
  const { settings, hasher = new PasswordHasher() } = options
  const { serverName } = settings
  const accountData = new AccountData(options)
  const sessions = new Sessions(options)
  return {
    accountData,
    buckets: options.buckets,
    filters: new Filters(options),
    hasher,
    passwordLogin: new PasswordLogin({ serverName, db: options.db, hasher, buckets: options.buckets, limits: options.loginLimits }),
    profiles: new Profiles(options),
    receipts: new Receipts({ ...options, accountData }),
    registration: new Registration({ ...options, hasher, sessions }),
    registrationTokens: new RegistrationTokenAdmin(options),
    sessions,
    sharedSecret: new SharedSecretRegistration({ secret: options.sharedSecret, clock: options.clock }),
    toDevice: new ToDevice({ ...options, serverName }),
    typing: new Typing(options.typing),
  }
}
