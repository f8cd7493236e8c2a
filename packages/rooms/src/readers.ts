import {
  AccountDataReader,
  type Database,
  EventsReader,
  MembershipsReader,
  RelationsReader,
  RoomsReader,
  StateReader,
  TimelineTimes,
} from '@weft/storage'
import { RoomDirectory } from './directory.ts'
import { RelationReads } from './relation-reads.ts'
import { RoomReads } from './room-reads.ts'
import { TimelineReads } from './timeline-reads.ts'

/** The reading side of rooms. */
export interface RoomsReaders {
  readonly directory: RoomDirectory
  readonly reads: RoomReads
  readonly relations: RelationReads
  readonly timelines: TimelineReads
}

/** Composes the reading side. */
export function roomsReaders(db: Database, serverName: string): RoomsReaders {
  const rooms = new RoomsReader(db)
  const events = new EventsReader(db)
  const state = new StateReader(db)
  const relations = new RelationsReader(db)
  const accountData = new AccountDataReader(db)
  const reads = new RoomReads({ rooms, events, state, memberships: new MembershipsReader(db), relations, accountData })
  return {
    directory: new RoomDirectory(rooms, serverName),
    reads,
    relations: new RelationReads({ reads, relations }),
    timelines: new TimelineReads({ reads, events, state, times: new TimelineTimes(db) }),
  }
}
