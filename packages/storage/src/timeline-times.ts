import { type Queryable, sql } from './sql.ts'

// Halves a stretch of positions per step, so about thirty probes of the index on (room_nid, stream_ordering), in one statement.
// The shift rounds down below zero too, where backfilled events stand.
const firstNotBefore = sql<{ stream_ordering: number | null }>(
  'events.firstNotBefore',
  `WITH RECURSIVE b AS (
     SELECT min(stream_ordering) AS lo, max(stream_ordering) AS hi FROM events WHERE room_nid = $1 AND stream_ordering IS NOT NULL
     UNION ALL
     SELECT CASE WHEN m.ts < $2 THEN m.pos + 1 ELSE b.lo END, CASE WHEN m.ts < $2 THEN b.hi ELSE (b.lo + b.hi) >> 1 END
     FROM b CROSS JOIN LATERAL (
       SELECT stream_ordering AS pos, origin_server_ts AS ts FROM events
       WHERE room_nid = $1 AND stream_ordering >= (b.lo + b.hi) >> 1 ORDER BY stream_ordering LIMIT 1) m
     WHERE b.lo < b.hi)
   SELECT max(lo) AS stream_ordering FROM b`,
)

/** Finds places in timelines by time, without an index on time: every event written would have to keep it. */
export class TimelineTimes {
  readonly #db: Queryable

  constructor(db: Queryable) {
    this.#db = db
  }

  /**
   * A position near which the room's events pass from before `ts` to `ts` and later: exactly there where their times rise with
   * their positions, as they nearly do.
   * @param ts milliseconds since the epoch
   * @returns undefined for a room without events
   */
  async positionAt(roomNid: number, ts: number): Promise<number | undefined> {
    return (await this.#db.query(firstNotBefore, [roomNid, ts]))[0]?.stream_ordering ?? undefined
  }
}
