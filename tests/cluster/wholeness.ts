import { type Database, sql } from '@weft/storage'

/** All state groups: those with rows, and those that events say. */
const groups = `(SELECT state_group, prev_state_group FROM state_groups
  UNION ALL SELECT state_group, prev_state_group FROM events WHERE prev_state_group IS NOT NULL)`

/** What must never be found, whatever died when: a statement each that counts it. */
const impossible: Readonly<Record<string, string>> = {
  'events without their state group': `SELECT count(*) FROM events e LEFT JOIN ${groups} g USING (state_group)
    WHERE e.stream_ordering IS NOT NULL AND g.state_group IS NULL`,
  'state groups without what they build on': `SELECT count(*) FROM ${groups} g LEFT JOIN ${groups} p ON p.state_group = g.prev_state_group
    WHERE g.prev_state_group IS NOT NULL AND p.state_group IS NULL`,
  'state events that changed no state': `SELECT count(*) FROM events e WHERE e.state_key IS NOT NULL AND e.stream_ordering IS NOT NULL
    AND NOT EXISTS (SELECT FROM current_state_delta_stream d WHERE d.stream_id = e.stream_ordering AND d.event_nid = e.event_nid)`,
  'changes of state without their event': `SELECT count(*) FROM current_state_delta_stream d LEFT JOIN events e USING (event_nid)
    WHERE d.event_nid IS NOT NULL AND e.event_nid IS NULL`,
  'current state without its event': `SELECT count(*) FROM current_state_events c LEFT JOIN events e USING (event_nid)
    WHERE e.event_nid IS NULL`,
  'current state that is not the last change': `SELECT count(*) FROM current_state_events c JOIN state_keys k USING (state_key_nid)
    WHERE c.event_nid <> (SELECT d.event_nid FROM current_state_delta_stream d
      WHERE d.room_nid = c.room_nid AND d.type = k.type AND d.state_key = k.state_key ORDER BY d.stream_id DESC LIMIT 1)`,
  'memberships without their event': `SELECT count(*) FROM room_memberships m LEFT JOIN events e USING (event_nid)
    WHERE e.event_nid IS NULL`,
  'messages without their transaction': `SELECT count(*) FROM events e WHERE e.type = 'm.room.message'
    AND NOT EXISTS (SELECT FROM event_txn_ids t WHERE t.event_nid = e.event_nid)`,
  'transactions without their event': `SELECT count(*) FROM event_txn_ids t LEFT JOIN events e USING (event_nid)
    WHERE e.event_nid IS NULL`,
  'events beyond the stored position': `SELECT count(*) FROM events WHERE stream_ordering >
    (SELECT stream_id FROM stream_positions WHERE stream_name = 'events' AND instance_name = 'writer')`,
}

/** What of it is found, in words; nothing in a database that is whole. Every message must have been sent with a transaction id. */
export async function damage(db: Database): Promise<string[]> {
  const found: string[] = []
  for (const [what, text] of Object.entries(impossible)) {
    const [row] = await db.query(sql<Record<string, number>>(`wholeness: ${what}`, text))
    const count = Number(Object.values(row ?? {})[0])
    if (count !== 0) found.push(`${count} ${what}`)
  }
  return found
}
