import { defineMetrics, type Metrics } from '@weft/kernel'
import type { ReplicationObserver } from './announcer.ts'

/** What replication counts, in writers and followers. */
export const replicationMetrics = defineMetrics({
  published: { type: 'counter', name: 'weft_replication_published_total', help: 'Entries announced', labels: [] },
  publishedBytes: { type: 'counter', name: 'weft_replication_published_bytes_total', help: 'Bytes announced', labels: [] },
  dropped: {
    type: 'counter',
    name: 'weft_replication_dropped_total',
    help: 'Entries that did not leave this process or did not reach a follower: a gap, healed from PostgreSQL',
    labels: ['why'],
  },
  receivedBytes: { type: 'counter', name: 'weft_replication_received_bytes_total', help: 'Bytes of announcements received', labels: [] },
  poisoned: { type: 'counter', name: 'weft_replication_poisoned_total', help: 'Entries that could not be read', labels: [] },
  refilled: {
    type: 'counter',
    name: 'weft_replication_refilled_rows_total',
    help: 'Rows read from PostgreSQL to close a gap',
    labels: ['stream'],
  },
  position: {
    type: 'gauge',
    name: 'weft_replication_position',
    help: 'How far this follower came in each stream; below `stream_positions` in PostgreSQL by what it has yet to hear',
    labels: ['stream'],
  },
  reactionFailures: {
    type: 'counter',
    name: 'weft_replication_reaction_failures_total',
    help: 'Reactions to rows that threw',
    labels: ['stream'],
  },
})

/** Counts what the announcers and replicas of a process tell. */
export function replicationObserver(metrics: Metrics): ReplicationObserver {
  const counts = metrics.use(replicationMetrics)
  return {
    published(entries, bytes) {
      counts.published.inc(entries)
      counts.publishedBytes.inc(bytes)
    },
    dropped: (why) => counts.dropped.inc({ why }),
    received: (bytes) => counts.receivedBytes.inc(bytes),
    poisoned: () => counts.poisoned.inc(),
    refilled: (stream, rows) => counts.refilled.inc({ stream }, rows),
    reactionFailed: (stream) => counts.reactionFailures.inc({ stream }),
  }
}
