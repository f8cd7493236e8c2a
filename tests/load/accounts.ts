import { createHash, randomBytes } from 'node:crypto'
import pg from 'pg'
import { Conversation } from './conversation.ts'
import type { DatabasePlace } from './database-sizes.ts'

/** The tables that a registration writes to, and their column of the user's id. */
const TABLES = { users: 'name', devices: 'user_id', access_tokens: 'user_id', profile_fields: 'user_id' } as const

/**
 * Accounts of a Weft, all copies of one that is registered through the API: 20,000 passwords would take ten minutes to hash, and
 * what is measured begins with the first room.
 * @returns their access tokens
 */
export async function makeAccounts(server: { readonly base: string; readonly database: DatabasePlace }, count: number): Promise<string[]> {
  const original = `original${randomBytes(4).toString('hex')}`
  const talk = new Conversation(server.base)
  const { user_id } = await talk.request('GET', '/account/whoami', await talk.register(original))
  const names = Array.from({ length: count }, (_, i) => `member${i}`)
  const tokens = names.map((name) => `wft_${Buffer.from(name).toString('base64url')}_${randomBytes(24).toString('base64url')}`)
  const userIds = names.map((name) => (user_id as string).replace(original, name))
  const hashes = tokens.map((token) => createHash('sha256').update(token).digest('hex'))
  const client = new pg.Client(server.database)
  await client.connect()
  try {
    for (const [table, column] of Object.entries(TABLES)) {
      const own =
        table === 'access_tokens' ? `'id', nextval(pg_get_serial_sequence('access_tokens', 'id')), 'token_hash', '\\x' || made.hash,` : ''
      await client.query(
        `INSERT INTO ${table} SELECT (jsonb_populate_record(copied, jsonb_build_object(${own} '${column}', made.id))).*
         FROM ${table} copied, unnest($2::text[], $3::text[]) AS made(id, hash) WHERE copied.${column} = $1`,
        [user_id, userIds, hashes],
      )
    }
  } finally {
    await client.end()
  }
  return tokens
}
