import {
  authStateKeys,
  buildEvent,
  checkEventAuth,
  type EventReference,
  type JsonObject,
  type JsonValue,
  type Signer,
  type Verdict,
} from '@weft/matrix'
import { depthAfter } from '../append-event.ts'
import { type FirstFormat, NotPrepared } from '../first-format.ts'
import type { Extremity, RoomHead } from '../room-head.ts'
import type { StateAt } from './group-states.ts'
import { type ReceivedEvent, readPdu } from './read-pdu.ts'
import type { StateViews } from './state-views.ts'

/** What events of this server are built with. */
export interface LocalEventTools {
  readonly signer: Signer
  readonly firstFormat: FirstFormat
}

/** An event of a user of this server. */
export interface LocalDraft {
  readonly type: string
  readonly stateKey?: string | undefined
  readonly sender: string
  readonly content: JsonObject
  readonly originServerTs: number
  readonly redacts?: { readonly eventId: string } | undefined
}

/**
 * Builds an event of this server on some of a room's forward extremities, where they are more than an event can name: judged by the
 * state of those, which is what other servers will judge it by.
 * @param before the state after the extremities together
 */
export async function buildOn(
  head: RoomHead,
  views: StateViews,
  extremities: readonly Extremity[],
  before: StateAt,
  draft: LocalDraft,
  tools: LocalEventTools,
): Promise<{ readonly ok: true; readonly event: ReceivedEvent } | Exclude<Verdict, { ok: true }>> {
  const { version, roomId } = head
  const { type, stateKey, sender, content } = draft
  const redacts = version.contentRedacts ? undefined : draft.redacts?.eventId
  const eventId = version.eventFormat === 1 ? tools.firstFormat.newEventId() : undefined
  const prevEvents = extremities.map((extremity) => extremity.eventId)
  const keys = authStateKeys(version, { type, stateKey, sender, content })
  const view = await views.at(before, [['m.room.create', ''], ...keys])
  const verdict = checkEventAuth(version, { eventId, type, stateKey, sender, roomId, content, prevEvents, redacts }, view)
  if (!verdict.ok) return verdict
  const authIds = keys.flatMap(([authType, authKey]) => view.get(authType, authKey)?.eventId ?? [])
  const reference = await referencing(head, [...views.nids(authIds), ...extremities], tools.firstFormat)
  const { pdu } = buildEvent(
    {
      version,
      roomId,
      type,
      stateKey,
      sender,
      content,
      originServerTs: draft.originServerTs,
      authEvents: authIds.map(reference),
      prevEvents: prevEvents.map(reference),
      depth: depthAfter(extremities),
      redacts,
      eventId,
    },
    tools.signer,
  )
  return readPdu(pdu as unknown as JsonValue, head)
}

/** How to refer to events: by their ids, in room versions 1 and 2 with their hashes. */
async function referencing(
  head: RoomHead,
  events: ReadonlyArray<{ readonly eventNid: number; readonly eventId: string }>,
  firstFormat: FirstFormat,
): Promise<(eventId: string) => EventReference> {
  if (head.version.eventFormat !== 1) return (eventId) => eventId
  let references: ReadonlyMap<string, EventReference>
  try {
    references = firstFormat.references(head, events)
  } catch (error) {
    if (!(error instanceof NotPrepared) || error.prepare === undefined) throw error
    await error.prepare()
    references = firstFormat.references(head, events)
  }
  return (eventId) => references.get(eventId) ?? eventId
}
