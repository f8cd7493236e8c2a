import {
  authStateKeys,
  type BuiltEvent,
  buildEvent,
  checkEventAuth,
  type JsonObject,
  MatrixError,
  own,
  type Rejection,
  type Relation,
  relationOf,
  type Signer,
} from '@weft/matrix'
import type { StateGroupRow } from '@weft/storage'
import { keptContent, type RoomHead } from './room-head.ts'
import type { StateKeys } from './state-keys.ts'

/** An event that somebody wants in a room. */
export interface Proposal {
  readonly type: string
  readonly stateKey?: string
  readonly sender: string
  readonly content: JsonObject
  readonly originServerTs: number
  /** The event a redaction is for, found and judged by the caller. `eventNid` is absent while it is not here. */
  readonly redacts?: { readonly eventId: string; readonly eventNid: number | undefined }
  /** The sending device and its transaction, where the client gave one. */
  readonly txn?: { readonly key: Buffer; readonly deviceId: string | undefined; readonly txnId: string }
}

/** A change of current state by an event. */
export interface StateChange {
  readonly stateKeyNid: number
  readonly type: string
  readonly stateKey: string
  readonly prevEventNid: number | undefined
  readonly group: StateGroupRow
  /** For m.room.member. */
  readonly membership: string | undefined
}

/** An event built on a head, ready to be committed. */
export interface PreparedEvent {
  readonly eventNid: number
  readonly built: BuiltEvent
  readonly proposal: Proposal
  readonly depth: number
  readonly stateGroup: number
  readonly change: StateChange | undefined
  readonly relation: Relation | undefined
}

/** Thrown by {@link appendEvent} when something it needs is not in memory: the caller fetches it and tries again. */
export class NotPrepared extends Error {}

/** Forward extremities that an event names at most. Spec: room versions, "Event format", prev_events: limit 20. */
const MAX_PREV_EVENTS = 20

/**
 * Judges a proposal by the head's current state, builds and signs the event, and moves the head on. Reads nothing and waits
 * for nothing: the caller has put numbers at hand.
 * @throws MatrixError M_FORBIDDEN when event auth refuses, M_BAD_JSON and M_TOO_LARGE from building
 * @throws NotPrepared before anything was changed
 */
export function appendEvent(
  head: RoomHead,
  proposal: Proposal,
  tools: { signer: Signer; stateKeys: StateKeys; eventNid: number; stateGroup: number },
): PreparedEvent {
  const { version } = head
  const { type, stateKey, sender, content } = proposal
  const isCreate = type === 'm.room.create' && head.stateSize === 0
  const stateKeyNid = stateKey === undefined ? undefined : tools.stateKeys.known(type, stateKey)
  if (stateKey !== undefined && stateKeyNid === undefined) throw new NotPrepared(`no number for the state key of ${type}`)

  const extremities = head.extremities.slice(0, MAX_PREV_EVENTS)
  const prevEvents = extremities.map((extremity) => extremity.eventId)
  const depth = extremities.reduce((max, extremity) => Math.max(max, extremity.depth), 0) + 1
  const roomId = isCreate && version.roomIdIsCreateHash ? undefined : head.roomId
  const redactsKey = version.contentRedacts ? undefined : proposal.redacts?.eventId

  const verdict = checkEventAuth(version, { type, stateKey, sender, roomId, content, prevEvents, redacts: redactsKey }, head)
  if (!verdict.ok) throw refusal(verdict)

  const authEvents: string[] = []
  for (const [authType, authKey] of authStateKeys(version, { type, stateKey, sender, content })) {
    const entry = head.get(authType, authKey)
    if (entry !== undefined) authEvents.push(entry.eventId)
  }
  const built = buildEvent(
    {
      version,
      roomId,
      type,
      stateKey,
      sender,
      content,
      originServerTs: proposal.originServerTs,
      authEvents,
      prevEvents,
      depth,
      redacts: redactsKey,
    },
    tools.signer,
  )

  let change: StateChange | undefined
  let stateGroup = head.groups.stateGroup ?? tools.stateGroup
  if (stateKey !== undefined && stateKeyNid !== undefined) {
    const before = head.get(type, stateKey)
    const membership = type === 'm.room.member' ? own(content, 'membership') : undefined
    head.setState({
      stateKeyNid,
      eventNid: tools.eventNid,
      eventId: built.eventId,
      sender,
      type,
      stateKey,
      content: keptContent(type, content),
      roomId,
    })
    stateGroup = tools.stateGroup
    const group = head.groups.append(stateGroup, head.roomNid, new Map([[stateKeyNid, tools.eventNid]]), head.stateSize)
    change = {
      stateKeyNid,
      type,
      stateKey,
      prevEventNid: before?.eventNid,
      group,
      membership: typeof membership === 'string' ? membership : undefined,
    }
  }
  head.advance({ eventNid: tools.eventNid, eventId: built.eventId, depth })
  return { eventNid: tools.eventNid, built, proposal, depth, stateGroup, change, relation: relationOf(content) }
}

/** What a client is told when event auth refuses. Spec: client-server API, the 403 of the endpoints that send events. */
export function refusal(verdict: Rejection): MatrixError {
  return new MatrixError('M_FORBIDDEN', verdict.reason.charAt(0).toUpperCase() + verdict.reason.slice(1))
}
