import { checkCanonical } from './canonical-json.ts'
import type { Pdu } from './event.ts'
import { fitsBytes, isEventId, isRoomId, isUserId, MAX_ID_BYTES } from './ids.ts'
import { isJsonObject, isWellFormedJson, type JsonObject, type JsonValue, own } from './json.ts'
import type { RoomVersion } from './room-version.ts'
import { type Rejection, reject } from './verdict.ts'

/** The most auth events and prev events a PDU may name. Spec: room versions, "Event format". */
const MAX_AUTH_EVENTS = 10
/** Spec: room version 3, "Event format": at most 20 prev events. */
export const MAX_PREV_EVENTS = 20

/** The highest depth. Room versions before 6 name 2^63-1, which no other part of a server can count to. */
export const MAX_DEPTH = Number.MAX_SAFE_INTEGER

/**
 * Checks that a received value is an event of this room version's format: the first check on receipt, before signatures. What
 * fails here is dropped. Size is judged by `eventSizeProblem`, content by nobody.
 *
 * Spec: server-server API, "Checks performed on receipt of a PDU", 1; room versions, "Event format" and "Canonical JSON".
 */
export function checkPduFormat(value: JsonValue, version: RoomVersion): { readonly ok: true; readonly pdu: Pdu } | Rejection {
  if (!isJsonObject(value)) return reject('format.object', 'an event must be an object')
  const problem = keysProblem(value) ?? referencesProblem(value, version) ?? idsProblem(value, version)
  if (problem !== undefined) return problem
  if (version.strictCanonicalJson) {
    const canonical = checkCanonical(withoutUnsigned(value))
    if (!canonical.ok) return canonical
  } else if (!isWellFormedJson(value)) {
    return reject('canonical.surrogate', 'the event has a lone surrogate')
  }
  return { ok: true, pdu: value as unknown as Pdu }
}

function keysProblem(event: JsonObject): Rejection | undefined {
  const type = own(event, 'type')
  if (typeof type !== 'string') return reject('format.type', 'type must be a string')
  if (!fitsBytes(type, MAX_ID_BYTES)) return reject('size.type', 'type is longer than 255 bytes')
  const sender = own(event, 'sender')
  if (typeof sender !== 'string' || !isUserId(sender)) return reject('format.sender', 'sender must be a user id')
  const stateKey = own(event, 'state_key')
  if (stateKey !== undefined && typeof stateKey !== 'string') return reject('format.state_key', 'state_key must be a string')
  if (stateKey !== undefined && !fitsBytes(stateKey, MAX_ID_BYTES)) return reject('size.state_key', 'state_key is longer than 255 bytes')
  for (const key of ['content', 'hashes', 'signatures']) {
    if (!isJsonObject(own(event, key))) return reject(`format.${key}`, `${key} must be an object`)
  }
  const unsigned = own(event, 'unsigned')
  if (unsigned !== undefined && !isJsonObject(unsigned)) return reject('format.unsigned', 'unsigned must be an object')
  const ts = own(event, 'origin_server_ts')
  if (typeof ts !== 'number' || !Number.isSafeInteger(ts)) return reject('format.origin_server_ts', 'origin_server_ts must be an integer')
  // A larger depth is refused in every room version: it could not be stored, and it has been used to take rooms over.
  const depth = own(event, 'depth')
  if (typeof depth !== 'number' || !Number.isSafeInteger(depth) || depth < 0) {
    return reject('format.depth', 'depth must be an integer from 0 to 2^53-1')
  }
  return undefined
}

function referencesProblem(event: JsonObject, version: RoomVersion): Rejection | undefined {
  for (const [key, most] of [
    ['auth_events', MAX_AUTH_EVENTS],
    ['prev_events', MAX_PREV_EVENTS],
  ] as const) {
    const references = own(event, key)
    if (!Array.isArray(references)) return reject(`format.${key}`, `${key} must be a list`)
    if (references.length > most) return reject(`format.${key}`, `${key} has more than ${most} events`)
    for (const reference of references) {
      if (!isReference(reference, version)) return reject(`format.${key}`, `${key} holds something else than event references`)
    }
  }
  return undefined
}

// Ids of hashes are not held to their exact form here: an event with an odd reference is one whose reference nobody can fetch,
// while dropping it would part this server from others that keep it.
function isReference(reference: JsonValue, version: RoomVersion): boolean {
  if (version.eventFormat === 3) return typeof reference === 'string' && reference.startsWith('$') && fitsBytes(reference, MAX_ID_BYTES)
  if (!Array.isArray(reference) || reference.length !== 2) return false
  const [id, hashes] = reference
  return typeof id === 'string' && isEventId(id, 'assigned') && isJsonObject(hashes)
}

function idsProblem(event: JsonObject, version: RoomVersion): Rejection | undefined {
  if (version.eventFormat === 1) {
    const eventId = own(event, 'event_id')
    if (typeof eventId !== 'string' || !isEventId(eventId, 'assigned')) return reject('format.event_id', 'event_id must be an event id')
  }
  const redacts = own(event, 'redacts')
  if (!version.contentRedacts && own(event, 'type') === 'm.room.redaction' && redacts !== undefined && typeof redacts !== 'string') {
    return reject('format.redacts', 'redacts must be a string')
  }
  const roomId = own(event, 'room_id')
  if (version.roomIdIsCreateHash && own(event, 'type') === 'm.room.create') {
    // An auth rule of room version 12 (1.2) already here: without its id, the event could be stored in no room.
    return roomId === undefined ? undefined : reject('auth.1.2', 'a create event of this room version has no room_id')
  }
  if (typeof roomId !== 'string' || !isRoomId(roomId)) return reject('format.room_id', 'room_id must be a room id')
  if (roomId.includes(':') === version.roomIdIsCreateHash) return reject('format.room_id', 'room_id is of another room version')
  return undefined
}

function withoutUnsigned(event: JsonObject): JsonObject {
  if (!Object.hasOwn(event, 'unsigned')) return event
  const { unsigned: _unsigned, ...rest } = event
  return rest
}
