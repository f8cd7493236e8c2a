import type { RelationsPage, RelationsQuery } from '@weft/rooms'
import { z } from 'zod'
import type { SyncServices } from '../../services.ts'
import { clientEventShape } from './bodies.ts'

const DEFAULT_LIMIT = 20
const MAX_LIMIT = 500

/** The query of the three forms of /relations. */
export const relationsQuery = z.object({
  from: z.string().optional(),
  to: z.string().optional(),
  limit: z.coerce.number().int().min(1).optional(),
  dir: z.enum(['b', 'f']).optional(),
  recurse: z.enum(['true', 'false']).optional(),
  /** As matrix-js-sdk asks a server that names no version of the specification with `recurse`. */
  'org.matrix.msc3981.recurse': z.enum(['true', 'false']).optional(),
})

export const relationsResponse = z.object({
  chunk: z.array(clientEventShape),
  next_batch: z.string().optional(),
  prev_batch: z.string().optional(),
  recursion_depth: z.number().optional(),
})

/** What the three forms of /relations ask for. @throws MatrixError M_INVALID_PARAM for a token of no kind */
export function relationsAsked(
  query: z.output<typeof relationsQuery>,
  timelines: SyncServices['rooms']['timelines'],
): Omit<RelationsQuery, 'relationType' | 'type'> {
  return {
    direction: query.dir ?? 'b',
    from: query.from === undefined ? undefined : timelines.position(query.from),
    to: query.to === undefined ? undefined : timelines.position(query.to),
    limit: Math.min(query.limit ?? DEFAULT_LIMIT, MAX_LIMIT),
    recurse: query.recurse === 'true' || query['org.matrix.msc3981.recurse'] === 'true',
  }
}

/** Their answer. `prev_batch` is where the page was asked to begin: its absence means the first page. */
export function relationsText(page: RelationsPage, query: z.output<typeof relationsQuery>): string {
  let text = `{"chunk":[${page.chunk.join(',')}]`
  if (page.nextBatch !== undefined) text += `,"next_batch":${JSON.stringify(page.nextBatch)}`
  if (query.from !== undefined) text += `,"prev_batch":${JSON.stringify(query.from)}`
  if (page.recursionDepth !== undefined) text += `,"recursion_depth":${page.recursionDepth}`
  return `${text}}`
}
