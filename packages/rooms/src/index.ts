export { Aliases } from './aliases.ts'
export type { Proposal } from './append-event.ts'
export type { Submission } from './assemble-batch.ts'
export {
  CommitLoop,
  type CommitLoopMetrics,
  type CommitLoopOptions,
  type EventsReservation,
  NotCommitted,
} from './commit-loop.ts'
export { type CreateRoomRequest, RoomCreation } from './create-room.ts'
export { RoomDirectory } from './directory.ts'
export type { RoomsEnvironment } from './environment.ts'
export { EventWriter, type EventWriterOptions, type SentEvent } from './event-writer.ts'
export { FirstFormat } from './first-format.ts'
export { HeadCache } from './head-cache.ts'
export type { IdSource } from './ids.ts'
export { type MemberProfile, Memberships, type Profiles } from './memberships.ts'
export { Messages, type Sender, type TxnRequest } from './messages.ts'
export { roomMetrics } from './metrics.ts'
export { type RoomsReaders, roomsReaders } from './readers.ts'
export { type EventSource, NO_SOURCE } from './receive/event-source.ts'
export { type Received, type ReceiveRequest, Receiver, type ReceiverOptions } from './receive/receiver.ts'
export { ReceiveQueueFull } from './receive/room-queues.ts'
export type { KeyLookup } from './receive/signatures.ts'
export { RelationReads, type RelationsPage, type RelationsQuery } from './relation-reads.ts'
export { RelationRules } from './relation-rules.ts'
export { RoomHead } from './room-head.ts'
export { jsonChunks, type MembersQuery, type RoomAccess, RoomReads } from './room-reads.ts'
export { RoomUpgrade } from './room-upgrade.ts'
export { StateKeys } from './state-keys.ts'
export { type RoomSettings, Succession } from './succession.ts'
export { type MessagesQuery, paginationToken, type TimelinePage, TimelineReads } from './timeline-reads.ts'
export { openRooms, type RoomsWriter, type RoomsWriterOptions } from './writer.ts'
