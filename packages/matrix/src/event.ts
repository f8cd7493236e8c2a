import { hash } from 'node:crypto'
import { withoutPadding } from './base64.ts'
import { canonicalJson } from './canonical-json.ts'
import type { JsonObject, JsonValue } from './json.ts'
import { redact } from './redact.ts'
import type { RoomVersion } from './room-version.ts'

/** A reference to another event: its id; in room versions 1 and 2 a pair of id and hashes. */
export type EventReference = string | [eventId: string, hashes: JsonObject]

/**
 * An event in its federation format. Unknown top-level keys are kept: they take part in the content hash.
 * Spec: room versions, "Event format".
 */
export interface Pdu {
  auth_events: EventReference[]
  prev_events: EventReference[]
  depth: number
  hashes: JsonObject
  signatures: JsonObject
  content: JsonObject
  type: string
  sender: string
  state_key?: string
  origin_server_ts: number
  /** Absent on the create event from room version 12 on. */
  room_id?: string
  /** Before room version 11. */
  redacts?: string
  /** In room versions 1 and 2 only. */
  event_id?: string
  unsigned?: JsonObject
  [key: string]: JsonValue | undefined
}

/** SHA-256 in unpadded Base64. */
export function sha256Base64(text: string): string {
  return withoutPadding(hash('sha256', text, 'base64'))
}

/**
 * The content hash, as it stands in `hashes.sha256`.
 * Spec: server-server API, "Calculating the content hash for an event".
 */
export function contentHash(pdu: Pdu): string {
  const { unsigned: _unsigned, signatures: _signatures, hashes: _hashes, ...covered } = pdu
  return sha256Base64(canonicalJson(covered as JsonObject))
}

/**
 * The canonical JSON of the redacted event without `signatures` and `unsigned`: the text both that signatures cover and that
 * the reference hash is taken of.
 * Spec: server-server API, "Signing Events".
 */
export function redactedText(pdu: Pdu, version: RoomVersion): string {
  const { signatures: _signatures, unsigned: _unsigned, ...covered } = redact(pdu, version)
  return canonicalJson(covered as JsonObject)
}

/** The reference hash, in standard Base64. Spec: server-server API, "Calculating the reference hash for an event". */
export function referenceHash(pdu: Pdu, version: RoomVersion): string {
  return sha256Base64(redactedText(pdu, version))
}

/** The event id that the hash of a redacted text makes. Spec: room versions 3 and 4, "Event IDs". */
export function eventIdOfRedactedText(text: string, version: RoomVersion): string {
  return version.eventIdFormat === 'base64' ? `$${sha256Base64(text)}` : `$${hash('sha256', text, 'base64url')}`
}

/** The event's id: its own key in room versions 1 and 2, else made from its reference hash. Spec: room versions, "Event IDs". */
export function eventIdOf(pdu: Pdu, version: RoomVersion): string {
  if (version.eventIdFormat === 'assigned') return pdu.event_id as string
  return eventIdOfRedactedText(redactedText(pdu, version), version)
}

/** The room id that a create event makes: its event id with another sigil. Spec: room version 12, "Event format". */
export function roomIdOfCreate(createEventId: string): string {
  return `!${createEventId.slice(1)}`
}

/** The id of the create event of such a room; `undefined` for a room id with a domain. Spec: room version 12, rule 2. */
export function createEventIdOf(roomId: string): string | undefined {
  return roomId.includes(':') ? undefined : `$${roomId.slice(1)}`
}

/** The room an event belongs to, which a create event of room version 12 only implies. */
export function roomIdOf(pdu: Pdu, version: RoomVersion): string | undefined {
  if (version.roomIdIsCreateHash && pdu.type === 'm.room.create') return roomIdOfCreate(eventIdOf(pdu, version))
  return pdu.room_id
}

/** The ids in a list of references, of either format. */
export function referencedIds(references: readonly EventReference[]): string[] {
  return references.map((reference) => (typeof reference === 'string' ? reference : reference[0]))
}

/** The ids of the event's auth events. */
export function authEventIds(pdu: Pdu): string[] {
  return referencedIds(pdu.auth_events)
}

/** The ids of the event's prev events. */
export function prevEventIds(pdu: Pdu): string[] {
  return referencedIds(pdu.prev_events)
}
