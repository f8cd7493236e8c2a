import {
  type AuthEventView,
  authEventIds,
  authEventView,
  checkPduFormat,
  type EventTexts,
  eventIdOfRedactedText,
  eventSizeProblem,
  hasRightContentHash,
  type JsonValue,
  type Pdu,
  prevEventIds,
  type Rejection,
  type RoomVersion,
  redact,
  redactedText,
  reject,
  roomIdOfCreate,
  splitPdu,
} from '@weft/matrix'

/** An event of another server that has its room version's form. Nothing is known yet of who made it. */
export interface ReceivedEvent {
  readonly eventId: string
  /** Its redacted copy, where the content is not what was hashed. */
  readonly pdu: Pdu
  readonly texts: EventTexts
  readonly view: AuthEventView
  readonly authIds: readonly string[]
  readonly prevIds: readonly string[]
  /** What its signatures cover. */
  readonly signedText: string
}

/**
 * Reads a received value as an event of this room: the checks that need neither keys nor other events. A wrong content hash is no
 * reason to refuse: the redacted copy stands for the event from here on.
 *
 * Spec: server-server API, "Checks performed on receipt of a PDU", 1 and 3; client-server API, "Size limits".
 */
export function readPdu(
  value: JsonValue,
  room: { readonly roomId: string; readonly version: RoomVersion },
): { readonly ok: true; readonly event: ReceivedEvent } | Rejection {
  const { version, roomId } = room
  const format = checkPduFormat(value, version)
  if (!format.ok) return format
  const received = format.pdu
  // What a signature covers is the same before and after redaction, so the id is too.
  const signedText = redactedText(received, version)
  const eventId = version.eventIdFormat === 'assigned' ? (received.event_id as string) : eventIdOfRedactedText(signedText, version)
  const impliesRoom = version.roomIdIsCreateHash && received.type === 'm.room.create'
  if ((impliesRoom ? roomIdOfCreate(eventId) : received.room_id) !== roomId) return reject('room.id', 'the event is of another room')

  const pdu = hasRightContentHash(received) ? received : redact(received, version)
  const texts = splitPdu(pdu)
  const { type, sender, state_key: stateKey } = pdu
  const tooLarge = eventSizeProblem({ ...texts, eventId, roomId, type, sender, stateKey }, version)
  if (tooLarge !== undefined) return tooLarge
  return {
    ok: true,
    event: {
      eventId,
      pdu,
      texts,
      view: authEventView(pdu, eventId),
      authIds: authEventIds(pdu),
      prevIds: prevEventIds(pdu),
      signedText,
    },
  }
}
