import { MatrixError } from '@weft/matrix'
import type { PublishedRoomsPage } from '@weft/rooms'
import { z } from 'zod'

const DEFAULT_LIMIT = 100
const MAX_LIMIT = 500

/** What both forms of /publicRooms answer. */
export const publishedRoomsResponse = z.object({
  chunk: z.array(
    z.object({
      room_id: z.string(),
      num_joined_members: z.number(),
      world_readable: z.boolean(),
      guest_can_join: z.boolean(),
      name: z.string().optional(),
      topic: z.string().optional(),
      canonical_alias: z.string().optional(),
      avatar_url: z.string().optional(),
      join_rule: z.string().optional(),
      room_type: z.string().optional(),
    }),
  ),
  next_batch: z.string().optional(),
  prev_batch: z.string().optional(),
  total_room_count_estimate: z.number().optional(),
})

/** How many rooms to list; none or 0 asks for as many as the server thinks right. */
export function publishedRoomsLimit(limit: number | undefined): number {
  return limit === undefined || limit === 0 ? DEFAULT_LIMIT : Math.min(limit, MAX_LIMIT)
}

/** @throws MatrixError M_FORBIDDEN for the directory of another server */
export function requireOwnDirectory(server: string | undefined, serverName: string): void {
  if (server !== undefined && server !== serverName) {
    throw new MatrixError('M_FORBIDDEN', `${JSON.stringify(server)} is another server, and this server does not federate`)
  }
}

/** The answer as JSON text. */
export function publishedRoomsText(page: PublishedRoomsPage): string {
  const next = page.nextBatch === undefined ? '' : `,"next_batch":"${page.nextBatch}"`
  const previous = page.prevBatch === undefined ? '' : `,"prev_batch":"${page.prevBatch}"`
  return `{"chunk":[${page.chunk.join(',')}]${next}${previous},"total_room_count_estimate":${page.total}}`
}
