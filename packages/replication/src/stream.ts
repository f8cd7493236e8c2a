import type { z } from 'zod'

/** The OS process classes that can follow or write a stream. */
export type ProcessClass = 'router' | 'writer' | 'sync' | 'federation-sender' | 'media' | 'pusher'

/**
 * Where a stream's rows can be read again after a gap.
 * `table`: PostgreSQL keeps them, up to the stored position. `redis`: they live as long as Redis does (typing): ids come
 * from INCR, nobody waits for them, and a gap means "read what is there now".
 */
export type Kept = { readonly in: 'table' } | { readonly in: 'redis' }

export interface StreamDefinition<Name extends string = string, Row = unknown> {
  /** On the wire and in `stream_positions`; never renamed. */
  readonly name: Name
  readonly writtenBy: readonly ProcessClass[]
  /** Every class here must give a reaction, or its composition does not compile. */
  readonly readBy: readonly ProcessClass[]
  /** Shape of a row on the wire; checked at the door of every follower. */
  readonly row: z.ZodType<Row>
  readonly kept: Kept
  /** The letter of this stream's position in a /sync token; absent where /sync does not show it. */
  readonly syncToken?: string
  /** Another stream whose ids and transactions this one shares (current-state deltas share those of events). */
  readonly positionsOf?: string
}

/** Defines a stream; the only place that states its facts. */
export function defineStream<const Name extends string, Row>(definition: StreamDefinition<Name, Row>): StreamDefinition<Name, Row> {
  return definition
}

export type RowOf<S> = S extends StreamDefinition<string, infer Row> ? Row : never
