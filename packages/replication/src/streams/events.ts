import { z } from 'zod'
import { defineStream } from '../stream.ts'
import { newestDelta, newestEvent, refillDeltas, refillEvents } from './events-refill.ts'

/** One event that entered a timeline. `eventJson` travels beside the rows in a field of its own (see announcement.ts). */
export const eventsRow = z.object({
  position: z.number(),
  eventNid: z.number(),
  eventId: z.string(),
  roomNid: z.number(),
  roomId: z.string(),
  type: z.string(),
  stateKey: z.string().optional(),
  sender: z.string(),
  depth: z.number(),
  originServerTs: z.number(),
  /** For m.room.member: content.membership as the pipeline accepted it. */
  membership: z.string().optional(),
  /** For m.room.redaction: event id and nid of the redacted event, where known and allowed. */
  redacts: z.string().optional(),
  redactsNid: z.number().optional(),
  /** m.relates_to of the content, read by own property. */
  relation: z.object({ relType: z.string(), eventId: z.string(), key: z.string().optional() }).optional(),
  /** For a state event: the event it replaces. */
  replacesNid: z.number().optional(),
  /** The sending device and its transaction id: `unsigned.transaction_id` goes to that device only. */
  txnDeviceId: z.string().optional(),
  txnId: z.string().optional(),
})
/** A row of {@link eventsStream}. */
export type EventsRow = z.infer<typeof eventsRow>

/** Events in the order of timelines; the one stream that carries texts. */
export const eventsStream = defineStream({
  name: 'events',
  writtenBy: ['writer'],
  readBy: ['sync'],
  row: eventsRow,
  kept: { in: 'table', refill: refillEvents, newest: newestEvent },
  syncToken: 's',
})

/** The current state of a room changed: what membership, sync's caches and counts follow (never timeline events). */
export const currentStateDeltasRow = z.object({
  position: z.number(),
  roomNid: z.number(),
  roomId: z.string(),
  type: z.string(),
  stateKey: z.string(),
  /** Absent when the key left the state. */
  eventNid: z.number().optional(),
  eventId: z.string().optional(),
  prevEventNid: z.number().optional(),
  /** For m.room.member: the new membership, `leave` where the key left the state. */
  membership: z.string().optional(),
})
/** A row of {@link currentStateDeltasStream}. */
export type CurrentStateDeltasRow = z.infer<typeof currentStateDeltasRow>

/** Changes of rooms' current state, at the positions of the events that brought them. Told before these. */
export const currentStateDeltasStream = defineStream({
  name: 'current_state_deltas',
  writtenBy: ['writer'],
  readBy: ['writer', 'sync'],
  row: currentStateDeltasRow,
  kept: { in: 'table', refill: refillDeltas, newest: newestDelta },
  positionsOf: 'events',
})
