import { defineMetrics } from '@weft/kernel'

/** What a sync process counts of itself as it goes; the composition turns it into figures. */
export interface SyncObserver {
  /** An answer was made: `warm` from memory alone, `cold` with the help of PostgreSQL. */
  answered(kind: 'initial' | 'cold' | 'warm'): void
  viewLoaded(): void
  /** A token ahead of everything that was ever handed out. */
  lowered(): void
}

/** What a sync process counts. */
export const syncMetrics = defineMetrics({
  answers: { type: 'counter', name: 'weft_sync_answers_total', help: 'Answers of /sync, by where they came from', labels: ['kind'] },
  wokenUsers: { type: 'counter', name: 'weft_sync_woken_users_total', help: 'Users whose waiting /sync was woken by a stream', labels: [] },
  viewLoads: { type: 'counter', name: 'weft_sync_view_loads_total', help: 'Users whose view was read from PostgreSQL', labels: [] },
  loweredTokens: {
    type: 'counter',
    name: 'weft_sync_lowered_tokens_total',
    help: 'Tokens ahead of all that was ever handed out',
    labels: [],
  },
  views: { type: 'gauge', name: 'weft_sync_views', help: 'Users whose view is in memory', labels: [] },
  rooms: { type: 'gauge', name: 'weft_sync_rooms', help: 'Rooms whose recent events are in memory', labels: [] },
  waiting: { type: 'gauge', name: 'weft_sync_waiting', help: 'Requests of /sync that wait for news', labels: [] },
  queued: { type: 'gauge', name: 'weft_sync_queued', help: 'Initial and cold syncs that wait for their turn', labels: [] },
  cacheBytes: { type: 'gauge', name: 'weft_sync_cache_bytes', help: 'Bytes of each cache, by estimate', labels: ['cache'] },
})
