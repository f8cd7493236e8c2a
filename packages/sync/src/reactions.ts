import type { ReactionsFor, Streams } from '@weft/replication'
import type { SyncEngine } from './engine.ts'

/** What a sync process does with the rows of each stream it reads. */
export function syncReactions(engine: SyncEngine): ReactionsFor<Streams, 'sync'> {
  return {
    events: engine.events,
    currentStateDeltas: engine.currentStateDeltas,
    receipts: engine.receipts,
    typing: engine.typing,
    accountData: engine.accountData,
    toDevice: engine.toDevice,
    deviceChanges: engine.deviceChanges,
  }
}
