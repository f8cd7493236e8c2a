import { ownString, type Relation, relationOf } from '@weft/matrix'
import type { BoundSql, EventRow, GraphEventRow, StateGroupRow } from '@weft/storage'
import type { ReceivedEvent } from './read-pdu.ts'

/** An event whose place in the room's graph is found, ready to be committed. Its position is given with the batch. */
export interface PlacedEvent {
  readonly row: Omit<EventRow, 'streamOrdering' | 'prevStateGroup'>
  /** False for what no client sees: outliers, rejected and soft-failed events, dummy events. */
  readonly inTimeline: boolean
  /** Stored as an outlier before: its row is there and gets its place. */
  readonly wasOutlier: boolean
  readonly membership: string | undefined
  readonly relation: Relation | undefined
  /** The event it takes effect on, for a redaction that is allowed and whose target is here. */
  readonly redacts: { readonly eventId: string; readonly eventNid: number } | undefined
  /** A redaction of it was here first: readers have to take its text from the table. */
  readonly redactedBefore: boolean
}

/** A change of the current state. */
export interface PlacedChange {
  /** Index of the event in whose position it takes place; negative where none of the timeline is there. */
  readonly at: number
  readonly stateKeyNid: number
  readonly type: string
  readonly stateKey: string
  /** Absent: the key leaves the state. */
  readonly eventNid: number | undefined
  readonly eventId: string | undefined
  readonly prevEventNid: number | undefined
  /** For m.room.member. */
  readonly membership: string | undefined
}

/** What a room gains in one step: all of it or nothing is committed. */
export interface PlacedEvents {
  readonly events: readonly PlacedEvent[]
  readonly groups: readonly StateGroupRow[]
  readonly changes: readonly PlacedChange[]
  /** State keys that the groups name. */
  readonly keys: ReadonlyArray<{ readonly nid: number; readonly type: string; readonly stateKey: string }>
  /**
   * The forward extremities to list from now on, by nid: none where the newest event of the timeline is the only one, and absent
   * where they do not change.
   */
  readonly extremities: readonly number[] | undefined
  readonly statements: readonly BoundSql[]
}

/** What is known of an event besides its row. */
export interface Place {
  readonly inTimeline: boolean
  readonly wasOutlier: boolean
  /** The rule that refused it. */
  readonly rejectionReason?: string | undefined
  /** The state event that it takes the place of in the state before it. */
  readonly replacesState?: number | undefined
  readonly redacts?: PlacedEvent['redacts']
  readonly redactedBefore?: boolean
}

/** An event with its place. */
export function placedEvent(event: ReceivedEvent, row: GraphEventRow, place: Place): PlacedEvent {
  const { rejected, ...columns } = row
  return {
    row: {
      ...columns,
      redactedBy: undefined,
      replacesState: rejected ? undefined : place.replacesState,
      originServerTs: event.pdu.origin_server_ts,
      rejectionReason: rejected ? place.rejectionReason : undefined,
    },
    inTimeline: place.inTimeline,
    wasOutlier: place.wasOutlier,
    membership: row.type === 'm.room.member' ? ownString(event.pdu.content, 'membership') : undefined,
    relation: relationOf(event.pdu.content),
    redacts: place.redacts,
    redactedBefore: place.redactedBefore ?? false,
  }
}

/** The row of an event, as those that follow it need it. */
export function graphRow(
  event: ReceivedEvent,
  place: Pick<GraphEventRow, 'eventNid' | 'roomNid' | 'authDepth' | 'stateGroup' | 'outlier' | 'softFailed' | 'rejected'>,
): GraphEventRow {
  const { type, state_key: stateKey, sender, depth } = event.pdu
  const { clientJson: json, envelopeJson: envelope } = event.texts
  return { ...place, eventId: event.eventId, type, stateKey, sender, depth, json, envelope }
}
