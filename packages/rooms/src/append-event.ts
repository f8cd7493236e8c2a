import {
  authStateKeys,
  type BuiltEvent,
  buildEvent,
  checkEventAuth,
  type EventReference,
  type JsonObject,
  MAX_DEPTH,
  MAX_PREV_EVENTS,
  MatrixError,
  own,
  type Rejection,
  type Relation,
  redactContent,
  referenceHash,
  relationOf,
  type Signer,
} from '@weft/matrix'
import { groupOfEvent, type StateGroupRow } from '@weft/storage'
import { type FirstFormat, NotPrepared } from './first-format.ts'
import { keptContent, type RoomHead, type StateEntry } from './room-head.ts'
import type { StateKeys } from './state-keys.ts'

/** An event that somebody wants in a room. */
export interface Proposal {
  readonly type: string
  readonly stateKey?: string
  readonly sender: string
  readonly content: JsonObject
  readonly originServerTs: number
  /** The event a redaction is for, found and judged by the caller. `eventNid` is absent while it is not here. */
  readonly redacts?: {
    readonly eventId: string
    readonly eventNid: number | undefined
    /** Where it stands in the state, if it is a state event. */
    readonly key?: readonly [type: string, stateKey: string] | undefined
  }
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
  /** One more than the greatest of its auth events; absent where one of theirs is. */
  readonly authDepth: number | undefined
  /** The group the room's state has without a row of its own until now: where forks met. */
  readonly baseGroup: StateGroupRow | undefined
  readonly change: StateChange | undefined
  readonly relation: Relation | undefined
}

/**
 * Judges a proposal by the head's current state, builds and signs the event, and moves the head on. Reads nothing and waits
 * for nothing: the caller has put numbers at hand.
 * @throws MatrixError M_FORBIDDEN and M_BAD_JSON when event auth refuses, M_BAD_JSON and M_TOO_LARGE from building
 * @throws NotPrepared before anything was changed
 */
export function appendEvent(
  head: RoomHead,
  proposal: Proposal,
  tools: { signer: Signer; stateKeys: StateKeys; firstFormat: FirstFormat; eventNid: number },
): PreparedEvent {
  const { version } = head
  const { type, stateKey, sender, content } = proposal
  const isCreate = type === 'm.room.create' && head.stateSize === 0
  const stateKeyNid = stateKey === undefined ? undefined : tools.stateKeys.known(type, stateKey)
  if (stateKey !== undefined && stateKeyNid === undefined) throw new NotPrepared(`no number for the state key of ${type}`)

  const extremities = head.extremities.slice(0, MAX_PREV_EVENTS)
  const prevEvents = extremities.map((extremity) => extremity.eventId)
  const depth = depthAfter(extremities)
  const roomId = isCreate && version.roomIdIsCreateHash ? undefined : head.roomId
  const redactsKey = version.contentRedacts ? undefined : proposal.redacts?.eventId
  const eventId = version.eventFormat === 1 ? tools.firstFormat.newEventId() : undefined

  const verdict = checkEventAuth(version, { eventId, type, stateKey, sender, roomId, content, prevEvents, redacts: redactsKey }, head)
  if (!verdict.ok) throw refusal(verdict)

  const authEntries: StateEntry[] = []
  for (const [authType, authKey] of authStateKeys(version, { type, stateKey, sender, content })) {
    const entry = head.get(authType, authKey)
    if (entry !== undefined) authEntries.push(entry)
  }
  const references = version.eventFormat === 1 ? tools.firstFormat.references(head, [...authEntries, ...extremities]) : undefined
  const reference = (event: { readonly eventId: string }): EventReference => references?.get(event.eventId) ?? event.eventId
  const built = buildEvent(
    {
      version,
      roomId,
      type,
      stateKey,
      sender,
      content,
      originServerTs: proposal.originServerTs,
      authEvents: authEntries.map(reference),
      prevEvents: references === undefined ? prevEvents : extremities.map(reference),
      depth,
      redacts: redactsKey,
      eventId,
    },
    tools.signer,
  )
  if (references !== undefined) tools.firstFormat.keep(tools.eventNid, referenceHash(built.pdu, version))

  const authDepth = authDepthOver(authEntries)
  const baseGroup = head.takeUnwrittenGroup()
  let change: StateChange | undefined
  // Event auth lets nothing but a create event, which is state, be a room's first.
  let stateGroup = head.groups.stateGroup as number
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
      authDepth,
    })
    stateGroup = groupOfEvent(tools.eventNid)
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
  if (proposal.redacts?.key !== undefined) redactInState(head, proposal.redacts)
  head.advance({ eventNid: tools.eventNid, eventId: built.eventId, depth, stateGroup })
  return { eventNid: tools.eventNid, built, proposal, depth, stateGroup, authDepth, baseGroup, change, relation: relationOf(content) }
}

/** The depth of an event after these: a member of another server may have sent the greatest there is, and what follows has the same (R01). */
export function depthAfter(events: ReadonlyArray<{ readonly depth: number }>): number {
  return Math.min(events.reduce((max, { depth }) => Math.max(max, depth), 0) + 1, MAX_DEPTH)
}

/** The auth depth of an event with these auth events; absent where one of theirs is. */
export function authDepthOver(authEvents: ReadonlyArray<{ readonly authDepth: number | undefined }>): number | undefined {
  let depth = 0
  for (const { authDepth } of authEvents) {
    if (authDepth === undefined) return undefined
    depth = Math.max(depth, authDepth + 1)
  }
  return depth
}

/** A redacted event of the state counts by what is left of it. Spec: client-server API, "Redactions". */
function redactInState(head: RoomHead, { key, eventNid }: NonNullable<Proposal['redacts']>): void {
  const entry = key && head.get(...key)
  if (entry === undefined || entry.eventNid !== eventNid) return
  head.setState({ ...entry, content: keptContent(entry.type, redactContent(entry.type, entry.content, head.version)) })
}

/** Rules that ask whether power levels have their form, and not who sends them. */
const FORM_RULES: ReadonlySet<string> = new Set(['auth.10.levels', 'auth.10.maps', 'auth.10.users', 'auth.10.4'])

/** What a client is told when event auth refuses. Spec: client-server API, the 403 of the endpoints that send events. */
export function refusal(verdict: Rejection): MatrixError {
  return new MatrixError(
    FORM_RULES.has(verdict.rule) ? 'M_BAD_JSON' : 'M_FORBIDDEN',
    verdict.reason.charAt(0).toUpperCase() + verdict.reason.slice(1),
  )
}
