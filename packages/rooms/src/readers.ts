import { type Database, EventsReader, MembershipsReader, RoomsReader, StateReader } from '@weft/storage'
import { RoomDirectory } from './directory.ts'
import { RoomReads } from './room-reads.ts'
import { TimelineReads } from './timeline-reads.ts'

/** The reading side of rooms. */
export interface RoomsReaders {
  readonly directory: RoomDirectory
  readonly reads: RoomReads
  readonly timelines: TimelineReads
}

/** Composes the reading side. */
export function roomsReaders(db: Database, serverName: string): RoomsReaders {
  const rooms = new RoomsReader(db)
  const events = new EventsReader(db)
  const state = new StateReader(db)
  const reads = new RoomReads({ rooms, events, state, memberships: new MembershipsReader(db) })
  return { directory: new RoomDirectory(rooms, serverName), reads, timelines: new TimelineReads({ reads, events, state }) }
}
