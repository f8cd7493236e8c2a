import { quoteJson, strictCanonicalJson } from './canonical-json.ts'
import { MatrixError } from './errors.ts'
import { type EventReference, eventIdOfRedactedText, type Pdu, roomIdOfCreate, sha256Base64 } from './event.ts'
import { type EventTexts, eventSizeProblem } from './event-text.ts'
import type { JsonObject, JsonValue } from './json.ts'
import { redactContent } from './redact.ts'
import type { RoomVersion } from './room-version.ts'
import type { Signer } from './signing-key.ts'

/** What an event is made of. */
export interface EventParts {
  readonly version: RoomVersion
  /** Absent only for the create event of a room version whose room id is its hash. */
  readonly roomId?: string
  readonly type: string
  readonly stateKey?: string | undefined
  readonly sender: string
  readonly content: JsonObject
  readonly originServerTs: number
  readonly authEvents: readonly EventReference[]
  readonly prevEvents: readonly EventReference[]
  readonly depth: number
  /** The top-level key of room versions before 11. */
  readonly redacts?: string | undefined
  /** The id to give the event in room versions 1 and 2, where it is not a hash. */
  readonly eventId?: string | undefined
}

/** A signed event, as an object and as the two texts it is stored as. */
export interface BuiltEvent extends EventTexts {
  readonly eventId: string
  readonly roomId: string
  readonly pdu: Pdu
}

/**
 * Builds, hashes and signs an event of this server.
 *
 * The hot path of every send. Content is canonicalised once, and its text is copied twice: into the text of the content hash
 * and into `clientJson`; the redacted text gets a copy only where redaction keeps all of it, as with create events. Redacted
 * text is what signature and reference hash both cover, so it is written once for the two. The rest is concatenation in
 * canonical key order.
 *
 * Spec: server-server API, "Adding hashes and signatures to outgoing events".
 * @throws MatrixError M_BAD_JSON for content without strict canonical form (a server never sends such, whatever the room
 * version), M_TOO_LARGE beyond the limits of "Size limits"
 */
export function buildEvent(parts: EventParts, signer: Signer): BuiltEvent {
  const { version, type, content, stateKey, redacts, eventId: givenId } = parts

  const contentText = strictCanonicalJson(content)
  const kept = redactContent(type, content, version)
  const keptText = kept === content ? contentText : strictCanonicalJson(kept)

  const authText = `"auth_events":${referencesText(parts.authEvents)}`
  const prevText = `"prev_events":${referencesText(parts.prevEvents)}`
  const depthText = `"depth":${integer(parts.depth)}`
  const idText = givenId === undefined ? '' : `,"event_id":${quoteString(givenId)}`
  const timeText = `"origin_server_ts":${integer(parts.originServerTs)}`
  const redactsText = redacts === undefined ? '' : `,"redacts":${quoteString(redacts)}`
  const roomText = parts.roomId === undefined ? '' : `,"room_id":${quoteString(parts.roomId)}`
  const senderText = `"sender":${quoteString(parts.sender)}`
  const stateKeyText = stateKey === undefined ? '' : `,"state_key":${quoteString(stateKey)}`
  const typeText = `"type":${quoteString(type)}`

  const contentHash = sha256Base64(
    `{${authText},"content":${contentText},${depthText}${idText},${timeText},${prevText}${redactsText}${roomText},${senderText}${stateKeyText},${typeText}}`,
  )
  const hashesText = `"hashes":{"sha256":"${contentHash}"}`
  const redactedText = `{${authText},"content":${keptText},${depthText}${idText},${hashesText},${timeText},${prevText}${roomText},${senderText}${stateKeyText},${typeText}}`
  const signature = signer.sign(Buffer.from(redactedText))
  const eventId = givenId ?? eventIdOfRedactedText(redactedText, version)
  const roomId = parts.roomId ?? roomIdOfCreate(eventId)

  const clientJson = `{"content":${contentText},${timeText}${redactsText},${senderText}${stateKeyText},${typeText}}`
  const signaturesText = `"signatures":{${quoteJson(signer.serverName)}:{${quoteJson(signer.keyId)}:"${signature}"}}`
  const envelopeJson = `{${authText},${depthText}${idText},${hashesText},${prevText},${signaturesText}}`

  const problem = eventSizeProblem({ clientJson, envelopeJson, eventId, roomId, type, sender: parts.sender, stateKey }, version)
  if (problem !== undefined) throw new MatrixError('M_TOO_LARGE', `Event is too large: ${problem.reason}`)

  const pdu: Pdu = {
    auth_events: [...parts.authEvents],
    prev_events: [...parts.prevEvents],
    depth: parts.depth,
    hashes: { sha256: contentHash },
    signatures: { [signer.serverName]: { [signer.keyId]: signature } },
    content,
    type,
    sender: parts.sender,
    origin_server_ts: parts.originServerTs,
  }
  if (givenId !== undefined) pdu.event_id = givenId
  if (stateKey !== undefined) pdu.state_key = stateKey
  if (redacts !== undefined) pdu.redacts = redacts
  if (parts.roomId !== undefined) pdu.room_id = parts.roomId
  return { eventId, roomId, pdu, clientJson, envelopeJson }
}

function referencesText(references: readonly EventReference[]): string {
  return strictCanonicalJson(references as JsonValue)
}

function quoteString(text: string): string {
  return strictCanonicalJson(text)
}

function integer(value: number): string {
  return strictCanonicalJson(value)
}
