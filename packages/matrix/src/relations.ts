import { isJsonObject, type JsonObject, own, ownObject, ownString } from './json.ts'

/** An event's relation to another. */
export interface Relation {
  readonly relType: string
  readonly eventId: string
  /** The key of an annotation. */
  readonly key: string | undefined
}

/**
 * The relation that an event's content names; `undefined` when it names none, or not as the spec has it. A reply without a
 * relation type is none: see {@link inReplyTo}.
 *
 * Spec: client-server API, "Forming relationships between events".
 */
export function relationOf(content: JsonObject): Relation | undefined {
  const relatesTo = ownObject(content, 'm.relates_to')
  if (relatesTo === undefined) return undefined
  const relType = ownString(relatesTo, 'rel_type')
  const eventId = ownString(relatesTo, 'event_id')
  if (relType === undefined || eventId === undefined) return undefined
  return { relType, eventId, key: ownString(relatesTo, 'key') }
}

/** The thread an event is part of, by its root. Spec: client-server API, "Threading". */
export function threadRootOf(content: JsonObject): string | undefined {
  const relation = relationOf(content)
  return relation?.relType === 'm.thread' ? relation.eventId : undefined
}

/** The event an event replies to. Spec: client-server API, "Rich replies". */
export function inReplyTo(content: JsonObject): string | undefined {
  const relatesTo = ownObject(content, 'm.relates_to')
  const reply = relatesTo && own(relatesTo, 'm.in_reply_to')
  return isJsonObject(reply) ? ownString(reply, 'event_id') : undefined
}

/** The event a redaction is for, wherever its room version has it. Spec: room version 11, "Event format". */
export function redactionTarget(
  event: { readonly content: JsonObject; readonly redacts?: unknown },
  contentRedacts: boolean,
): string | undefined {
  if (contentRedacts) return ownString(event.content, 'redacts')
  return typeof event.redacts === 'string' ? event.redacts : undefined
}
