import pg from 'pg'
import { type DatabasePlace, databaseSizes, totalOf } from '../database-sizes.ts'
import { cpuPer, loadgen, losses, type Report } from '../loadgen.ts'
import { Server } from '../rig.ts'
import { type Campaign, markdownTable, type Outcome } from './campaign.ts'

/** A send on an empty database and on one of many events, on the same server. */
export const million: Campaign = {
  about:
    'What a send costs while the tables are small, and once many events are in them: copies of those that were sent, of the same rooms, with ' +
    'ids and positions of their own, in every index that an event is in. One server (router, writer, two sync processes, Redis, PostgreSQL ' +
    'with fsync); a round to warm up, then medians of the rounds before and after; PostgreSQL vacuums and checkpoints in between.',
  options: { events: '1000000', rounds: '3', seconds: '12' },
  async run({ events, rounds, seconds }) {
    const server = await Server.start(['--split', '--replicas', 'sync=2'])
    try {
      const load = (prefix: string) =>
        loadgen('send', server, ['-rooms', '50', '-concurrency', '32', '-duration', `${seconds}s`, '-prefix', prefix])
      const measured = async (name: string) => {
        const reports: Report[] = []
        for (let round = 0; round < Number(rounds); round++) reports.push(await load(`${name}${round}`))
        return reports
      }
      await load('warm')
      const before = await measured('before')
      const bytes = await grow(server.database, Number(events))
      await load('again')
      const after = await measured('after')
      return report(before, after, Number(events), bytes)
    } finally {
      await server.stop()
    }
  },
}

/** Copies events until there are so many. @returns bytes of all tables and indexes */
async function grow(place: DatabasePlace, events: number): Promise<number> {
  const client = new pg.Client(place)
  await client.connect()
  try {
    const present = Number((await client.query('SELECT count(*) FROM events')).rows[0].count)
    const batch = 50_000
    // Negative positions, as those of history from other servers: none that the writer will hand out.
    for (let made = 0; made < events - present; made += batch) {
      await client.query(
        `INSERT INTO events (event_nid, room_nid, stream_ordering, depth, state_group, replaces_state, origin_server_ts, event_id, type, state_key,
           sender, json, envelope, outlier, soft_failed, auth_depth)
         SELECT nextval('event_nid_seq'), room_nid, -($1::bigint + row_number() OVER ()), depth, state_group, replaces_state, origin_server_ts,
           '$' || replace(replace(rtrim(encode(sha256(convert_to(event_id || $1, 'UTF8')), 'base64'), '='), '+', '-'), '/', '_'),
           type, state_key, sender, json, envelope, outlier, soft_failed, auth_depth
         FROM (SELECT * FROM events WHERE stream_ordering > 0 ORDER BY stream_ordering DESC LIMIT $2) copied`,
        [made, Math.min(batch, present, events - present - made)],
      )
      if (present < batch) made -= batch - present
    }
    await client.query('CHECKPOINT')
  } finally {
    await client.end()
  }
  return totalOf(await databaseSizes(place))
}

function report(before: readonly Report[], after: readonly Report[], events: number, bytes: number): Outcome {
  const cpu = (reports: readonly Report[]) => median(reports.map((one) => cpuPer(one, 'event')))
  const rate = (reports: readonly Report[]) => Math.round(median(reports.map((one) => one.result.events_per_second ?? 0)))
  const p95 = (reports: readonly Report[]) => median(reports.map((one) => one.result.latency?.p95_ms ?? Number.NaN))
  const ratio = cpu(after) / cpu(before)
  const lost = [...before, ...after].reduce((sum, { result }) => sum + losses(result.history), 0)
  const row = (name: string, reports: readonly Report[]) => [name, cpu(reports).toFixed(3), rate(reports), p95(reports).toFixed(1)]
  return {
    checks: [
      { name: `CPU of a send with ${events} events: ${ratio.toFixed(2)} times that before, at most 1.3`, ok: ratio <= 1.3 },
      { name: `events lost or doubled: ${lost}`, ok: lost === 0 },
    ],
    figures: [
      markdownTable(['', 'CPU ms an event', 'events a second', 'p95 ms'], [row('before', before), row(`with ${events} events`, after)]),
      '',
      `The database then takes ${Math.round(bytes / 1024 / 1024)} MiB. CPU of a send: ${ratio.toFixed(2)} times that before.`,
    ].join('\n'),
  }
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] as number
}
