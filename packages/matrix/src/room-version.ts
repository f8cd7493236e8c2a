import type { EventIdFormat } from './ids.ts'

/** The state resolution algorithms. Spec: room versions 1, 2 and 12, "State resolution". */
export type StateResolutionAlgorithm = 'v1' | 'v2' | 'v2.1'

/** The redaction algorithms, by the room version that brought them. */
export type RedactionRules = 'v1' | 'v6' | 'v8' | 'v9' | 'v11'

/** How power level values may be written: `float` allows floats and strings, `string` strings, `integer` neither. */
export type PowerLevelForm = 'float' | 'string' | 'integer'

/** What differs between room versions, as data: rules ask for a difference, never for a version. */
export interface RoomVersion {
  readonly id: string
  /** 1: `event_id` in the PDU, references as pairs with hashes. 3: neither. Spec: room version 3, "Event format". */
  readonly eventFormat: 1 | 3
  readonly eventIdFormat: EventIdFormat
  readonly stateResolution: StateResolutionAlgorithm
  readonly redactionRules: RedactionRules
  /** Events are authorised as redactions by the event auth rules. Spec: room version 1, rule 11; gone in 3. */
  readonly redactionInAuthRules: boolean
  /** A signing key counts only within its validity. Spec: room version 5, "Signing key validity period". */
  readonly enforceKeyValidity: boolean
  /** PDUs must be canonical JSON. Spec: room version 6, "Canonical JSON". */
  readonly strictCanonicalJson: boolean
  /** `m.room.aliases` has an auth rule of its own. Spec: room version 1, rule 4; gone in 6. */
  readonly aliasesAuthRule: boolean
  /** `notifications` takes part in the power level rules. Spec: room version 6, rules 9.4 and 9.5. */
  readonly limitNotificationPowerLevels: boolean
  /** Spec: room version 7. */
  readonly knock: boolean
  /** The join rule `restricted`. Spec: room version 8. */
  readonly restrictedJoin: boolean
  /** The join rule `knock_restricted`. Spec: room version 10. */
  readonly knockRestricted: boolean
  readonly powerLevelForm: PowerLevelForm
  /** `redacts` stands in the content. Spec: room version 11, "Event format". */
  readonly contentRedacts: boolean
  /** The creator is the sender of the create event; before, `content.creator`. Spec: room version 11. */
  readonly implicitCreator: boolean
  /** Creators have infinite power. Spec: room version 12, "Authorisation rules". */
  readonly privilegedCreators: boolean
  /** The room id is the hash of the create event, which has no `room_id` itself. Spec: room version 12, "Event format". */
  readonly roomIdIsCreateHash: boolean
  /** The create event is never an auth event. Spec: room version 12, rule 3.2. */
  readonly createNotInAuthEvents: boolean
}

const v1: RoomVersion = {
  id: '1',
  eventFormat: 1,
  eventIdFormat: 'assigned',
  stateResolution: 'v1',
  redactionRules: 'v1',
  redactionInAuthRules: true,
  enforceKeyValidity: false,
  strictCanonicalJson: false,
  aliasesAuthRule: true,
  limitNotificationPowerLevels: false,
  knock: false,
  restrictedJoin: false,
  knockRestricted: false,
  powerLevelForm: 'float',
  contentRedacts: false,
  implicitCreator: false,
  privilegedCreators: false,
  roomIdIsCreateHash: false,
  createNotInAuthEvents: false,
}
const v2: RoomVersion = { ...v1, id: '2', stateResolution: 'v2' }
const v3: RoomVersion = { ...v2, id: '3', eventFormat: 3, eventIdFormat: 'base64', redactionInAuthRules: false }
const v4: RoomVersion = { ...v3, id: '4', eventIdFormat: 'base64url' }
const v5: RoomVersion = { ...v4, id: '5', enforceKeyValidity: true }
const v6: RoomVersion = {
  ...v5,
  id: '6',
  redactionRules: 'v6',
  strictCanonicalJson: true,
  aliasesAuthRule: false,
  limitNotificationPowerLevels: true,
  powerLevelForm: 'string',
}
const v7: RoomVersion = { ...v6, id: '7', knock: true }
const v8: RoomVersion = { ...v7, id: '8', redactionRules: 'v8', restrictedJoin: true }
const v9: RoomVersion = { ...v8, id: '9', redactionRules: 'v9' }
const v10: RoomVersion = { ...v9, id: '10', powerLevelForm: 'integer', knockRestricted: true }
const v11: RoomVersion = { ...v10, id: '11', redactionRules: 'v11', contentRedacts: true, implicitCreator: true }
const v12: RoomVersion = {
  ...v11,
  id: '12',
  stateResolution: 'v2.1',
  privilegedCreators: true,
  roomIdIsCreateHash: true,
  createNotInAuthEvents: true,
}

/** All room versions this package knows, by their id. Spec: "Room Versions", "Feature matrix". */
export const roomVersions: ReadonlyMap<string, RoomVersion> = new Map(
  [v1, v2, v3, v4, v5, v6, v7, v8, v9, v10, v11, v12].map((version) => [version.id, version]),
)

/** The versions the spec calls stable, for `m.room_versions`. Spec: "Room Versions". */
export const stableRoomVersions: readonly string[] = [...roomVersions.keys()]

/** The version of new rooms. Spec: "Room Versions": servers SHOULD use room version 12 as the default. */
export const DEFAULT_ROOM_VERSION = '12'

/** The version of that id. @throws Error for an unknown one: for callers that have already refused those */
export function requireRoomVersion(id: string): RoomVersion {
  const version = roomVersions.get(id)
  if (version === undefined) throw new Error(`unknown room version ${JSON.stringify(id)}`)
  return version
}
