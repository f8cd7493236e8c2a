import {
  AccountDataReader,
  type Database,
  EventsReader,
  MembershipsReader,
  RelationsReader,
  RoomDirectoryReader,
  RoomsReader,
  StateReader,
  TimelineTimes,
} from '@weft/storage'
import { RoomDirectory } from './directory.ts'
import { PublishedRooms } from './published-rooms.ts'
import { RelationReads } from './relation-reads.ts'
import { RoomReads } from './room-reads.ts'
import { TimelineReads } from './timeline-reads.ts'

/** The reading side of rooms. */
export interface RoomsReaders {
  readonly directory: RoomDirectory
  readonly published: PublishedRooms
  readonly reads: RoomReads
  readonly relations: RelationReads
  readonly timelines: TimelineReads
}

/** Composes the reading side. */
export function roomsReaders(db: Database, serverName: string, now: () => number): RoomsReaders {
  const rooms = new RoomsReader(db)
  const events = new EventsReader(db)
  const state = new StateReader(db)
  const relations = new RelationsReader(db)
  const accountData = new AccountDataReader(db)
  const reads = new RoomReads({ rooms, events, state, memberships: new MembershipsReader(db), relations, accountData, now })
  return {
    directory: new RoomDirectory(rooms, serverName),
    published: new PublishedRooms({ directory: new RoomDirectoryReader(db), rooms }),
    reads,
    relations: new RelationReads({ reads, relations }),
    timelines: new TimelineReads({ reads, events, times: new TimelineTimes(db) }),
  }
}
