import type { AccountReads, AccountServices } from '@weft/accounts'
import type { Reply, UserInteractiveAuth } from '@weft/http'
import type {
  Aliases,
  Memberships,
  Messages,
  PublishedRooms,
  RelationReads,
  RoomCreation,
  RoomDirectory,
  RoomPublication,
  RoomReads,
  RoomUpgrade,
  TimelineReads,
} from '@weft/rooms'
import type { SyncService } from '@weft/sync'
import type { ServerInfo } from './server-info.ts'

/** Streams JSON text: what stands before, the parts with commas between them, what stands after. */
export type JsonStream = (before: string, parts: AsyncIterable<string>, after: string) => Reply

/** What handlers of both classes reach. */
interface SharedServices {
  readonly accountReads: AccountReads
  readonly serverInfo: ServerInfo
}

/** What handlers of the writer reach as `ctx`. */
export interface WriterServices extends SharedServices {
  readonly accounts: AccountServices
  readonly uia: UserInteractiveAuth
  readonly rooms: {
    readonly aliases: Aliases
    readonly creation: RoomCreation
    readonly directory: RoomDirectory
    readonly memberships: Memberships
    readonly messages: Messages
    readonly publication: RoomPublication
    readonly upgrade: RoomUpgrade
  }
}

/** What handlers of sync processes reach as `ctx`. */
export interface SyncServices extends SharedServices {
  readonly sync: Pick<SyncService, 'sync'>
  readonly rooms: {
    readonly directory: RoomDirectory
    readonly published: PublishedRooms
    readonly reads: RoomReads
    readonly relations: RelationReads
    readonly stream: JsonStream
    readonly timelines: TimelineReads
  }
}
