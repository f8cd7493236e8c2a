import { canonicalJson, quoteJson } from './canonical-json.ts'
import type { Pdu } from './event.ts'
import { fitsBytes, MAX_ID_BYTES } from './ids.ts'
import { type JsonObject, MAX_FEDERATION_JSON_DEPTH, own, parseJsonObject, setOwn } from './json.ts'
import type { RoomVersion } from './room-version.ts'
import { type Rejection, reject } from './verdict.ts'

/**
 * An event as it is stored: two texts whose keys together are the PDU, except for `room_id`, which the row has, and `unsigned`,
 * which no signature covers and which is not passed on.
 */
export interface EventTexts {
  /** What clients see: content, origin_server_ts, sender, type, and state_key and redacts where the event has them. */
  readonly clientJson: string
  /** The rest: auth_events, prev_events, depth, hashes, signatures, `event_id` in room versions 1 and 2, unknown keys. */
  readonly envelopeJson: string
}

/** The complete event's limit in bytes. Spec: client-server API, "Size limits". */
export const MAX_EVENT_BYTES = 65_536

const CLIENT_KEYS = new Set(['content', 'origin_server_ts', 'redacts', 'sender', 'state_key', 'type'])
const STORED_ELSEWHERE = new Set(['room_id', 'unsigned'])

/**
 * Splits a PDU into its two texts, both canonical JSON. {@link joinPdu} makes the same PDU of them, but for `unsigned`.
 * Spec: client-server API, "Room event format".
 */
export function splitPdu(pdu: Pdu): EventTexts {
  const client: JsonObject = {}
  const envelope: JsonObject = {}
  for (const key of Object.keys(pdu)) {
    const value = pdu[key]
    if (value === undefined || STORED_ELSEWHERE.has(key)) continue
    setOwn(CLIENT_KEYS.has(key) ? client : envelope, key, value)
  }
  return { clientJson: canonicalJson(client), envelopeJson: canonicalJson(envelope) }
}

/** The PDU of two texts, with its `room_id` where its format has one. Spec: room versions, "Event format". */
export function joinPdu(clientJson: string, envelopeJson: string, roomId: string, version: RoomVersion): Pdu {
  const stored = { maxDepth: MAX_FEDERATION_JSON_DEPTH, allowLoneSurrogates: true }
  const pdu: JsonObject = { ...parseJsonObject(clientJson, stored), ...parseJsonObject(envelopeJson, stored) }
  if (!lacksRoomId(own(pdu, 'type'), version)) pdu.room_id = roomId
  return pdu as unknown as Pdu
}

/** As {@link joinPdu}, but as text to be sent, without parsing. The keys are complete, their order is not canonical. */
export function pduText(texts: EventTexts, event: { readonly type: string; readonly roomId: string }, version: RoomVersion): string {
  const joined = `${texts.clientJson.slice(0, -1)},${texts.envelopeJson.slice(1)}`
  return lacksRoomId(event.type, version) ? joined : `${joined.slice(0, -1)},"room_id":${quoteJson(event.roomId)}}`
}

/** What the client format adds to the stored text. */
export interface ClientEventExtras {
  readonly eventId: string
  /** Left out in /sync, where the room is the key. */
  readonly roomId?: string
  /** A JSON object as text. */
  readonly unsignedJson?: string
}

/**
 * The event in the client's format. Splices strings and parses nothing: `clientJson` comes as it was stored.
 * Spec: client-server API, "Room event format".
 */
export function clientEventText(clientJson: string, extras: ClientEventExtras): string {
  let text = `${clientJson.slice(0, -1)},"event_id":${quoteJson(extras.eventId)}`
  if (extras.roomId !== undefined) text += `,"room_id":${quoteJson(extras.roomId)}`
  if (extras.unsignedJson !== undefined) text += `,"unsigned":${extras.unsignedJson}`
  return `${text}}`
}

/**
 * The same text with its age in `unsigned`, which must be the last of what was added to it. For texts that many answers share: an age is
 * only true for one.
 * Spec: client-server API, "Room event format", UnsignedData.
 * @param clientText as {@link clientEventText} made it
 * @param ms since the event was sent; a clock that is ahead makes it 0
 */
export function withAge(clientText: string, ms: number): string {
  const age = `"age":${Math.max(0, Math.floor(ms))}`
  // Without `unsigned` the last value is a string.
  return clientText.endsWith('}}') ? `${clientText.slice(0, -2)},${age}}}` : `${clientText.slice(0, -1)},"unsigned":{${age}}}`
}

/** The parts of an event that have a size limit. */
export interface SizedEvent extends EventTexts {
  readonly eventId: string
  readonly roomId: string
  readonly type: string
  readonly sender: string
  readonly stateKey?: string | undefined
}

/**
 * What is too large about an event, if anything: the whole PDU in its federation format, or one of the keys with a limit of
 * 255 bytes. To a client it is an M_TOO_LARGE.
 *
 * Spec: client-server API, "Size limits".
 */
export function eventSizeProblem(event: SizedEvent, version: RoomVersion): Rejection | undefined {
  const { type, sender, stateKey, roomId, eventId } = event
  if (!fitsBytes(type, MAX_ID_BYTES)) return reject('size.type', 'type is longer than 255 bytes')
  if (!fitsBytes(sender, MAX_ID_BYTES)) return reject('size.sender', 'sender is longer than 255 bytes')
  if (stateKey !== undefined && !fitsBytes(stateKey, MAX_ID_BYTES)) return reject('size.state_key', 'state_key is longer than 255 bytes')
  if (!fitsBytes(roomId, MAX_ID_BYTES)) return reject('size.room_id', 'room_id is longer than 255 bytes')
  if (!fitsBytes(eventId, MAX_ID_BYTES)) return reject('size.event_id', 'event_id is longer than 255 bytes')
  const bytes = pduBytes(event, version)
  return bytes > MAX_EVENT_BYTES ? reject('size.event', `the event has more than ${MAX_EVENT_BYTES} bytes`) : undefined
}

/** The size of the PDU in canonical JSON. An upper bound where even that is far below the limit, which spares the counting. */
function pduBytes(event: SizedEvent, version: RoomVersion): number {
  const { clientJson, envelopeJson, roomId } = event
  const atMost = (clientJson.length + envelopeJson.length + roomId.length * 2 + 16) * 3
  if (atMost <= MAX_EVENT_BYTES) return atMost
  // {A} and {B} make {A,B}: two braces less, one comma more.
  const joined = Buffer.byteLength(clientJson) + Buffer.byteLength(envelopeJson) - 1
  if (lacksRoomId(event.type, version)) return joined
  return joined + ',"room_id":'.length + Buffer.byteLength(quoteJson(roomId))
}

function lacksRoomId(type: unknown, version: RoomVersion): boolean {
  return version.roomIdIsCreateHash && type === 'm.room.create'
}
