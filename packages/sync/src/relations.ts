import { type AggregatedEvent, type AggregationReaders, aggregateRelations } from '@weft/storage'
import type { RoomWork, SyncScope } from './room-work.ts'
import type { TimelineEvent } from './timeline-event.ts'

/**
 * Sums up what relates to the events of limited timelines: what came in the gap, a client cannot have seen. For an answer
 * without a gap, as when a waiting /sync is woken, it does nothing.
 * Spec: client-server API, "Aggregations of child events".
 */
export function loadRelations(works: readonly RoomWork[], scope: SyncScope, readers: AggregationReaders): Promise<void> | undefined {
  const limited = works.filter((work) => work.limited && work.timeline.length > 0)
  return limited.length === 0 ? undefined : readRelations(limited, scope, readers)
}

async function readRelations(works: readonly RoomWork[], scope: SyncScope, readers: AggregationReaders): Promise<void> {
  const events = works.flatMap((work) => work.timeline.map((event) => aggregatedEvent(work, event)))
  const viewer = { userId: scope.userId, ignored: async () => scope.ignored }
  const relations = await aggregateRelations(readers, events, viewer)
  if (relations.size > 0) for (const work of works) work.relations = relations
}

function aggregatedEvent(work: RoomWork, event: TimelineEvent): AggregatedEvent {
  const { version, facts } = event
  const { eventId, roomNid, sender, type, stateKey } = facts
  return {
    eventId,
    roomNid,
    sender,
    type,
    stateKey,
    until: work.until,
    redacted: event.redacted,
    version,
    roomId: undefined,
    content: () => event.content,
    sees: ({ streamOrdering, type, stateKey }) =>
      streamOrdering !== undefined && (work.sees?.({ position: streamOrdering, type, stateKey }) ?? true),
  }
}
