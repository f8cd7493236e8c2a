import { defineMetrics } from '@weft/kernel'

/** What the writer counts of rooms. */
export const roomMetrics = defineMetrics({
  events: { type: 'counter', name: 'weft_events_persisted_total', help: 'Events committed', labels: [] },
  batches: { type: 'counter', name: 'weft_commit_batches_total', help: 'Transactions of the commit loop', labels: [] },
  statements: { type: 'counter', name: 'weft_commit_statements_total', help: 'Statements in those transactions', labels: [] },
  batchEvents: {
    type: 'histogram',
    name: 'weft_commit_batch_events',
    help: 'Events in a transaction of the commit loop',
    labels: [],
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512],
  },
  commitSeconds: {
    type: 'histogram',
    name: 'weft_commit_duration_seconds',
    help: 'From taking a batch to its commit: one round trip',
    labels: [],
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5],
  },
  commitWait: {
    type: 'histogram',
    name: 'weft_commit_wait_seconds',
    help: 'How long what users of this server send waits until its transaction begins',
    labels: [],
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1, 5],
  },
  heads: { type: 'gauge', name: 'weft_room_heads', help: 'Room heads in memory', labels: [] },
  headBytes: { type: 'gauge', name: 'weft_room_heads_bytes', help: 'Bytes of the room heads in memory', labels: [] },
  headLoads: { type: 'counter', name: 'weft_room_head_loads_total', help: 'Room heads read from PostgreSQL', labels: [] },
  queue: { type: 'gauge', name: 'weft_commit_queue', help: 'Requests whose events wait for the next transaction', labels: [] },
  received: {
    type: 'counter',
    name: 'weft_received_events_total',
    help: 'Events of other servers, by what became of them',
    labels: ['outcome'],
  },
  receiving: {
    type: 'gauge',
    name: 'weft_received_events_waiting',
    help: 'Events of other servers that wait or are worked on',
    labels: [],
  },
  resolutions: { type: 'counter', name: 'weft_state_resolutions_total', help: 'State resolutions, by how they ended', labels: ['outcome'] },
  resolutionSeconds: {
    type: 'histogram',
    name: 'weft_state_resolution_duration_seconds',
    help: 'How long a thread was held by a state resolution',
    labels: [],
    buckets: [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 15, 60],
  },
  stateGroupsCollected: {
    type: 'counter',
    name: 'weft_state_groups_collected_total',
    help: 'State groups deleted because nothing refers to them any more',
    labels: [],
  },
  resolverThreads: { type: 'gauge', name: 'weft_state_resolver_threads', help: 'Threads open for state resolution', labels: [] },
})
