import type { Queryable } from '@weft/storage'
import type { z } from 'zod'

/** The OS process classes that can follow or write a stream. */
export type ProcessClass = 'router' | 'writer' | 'sync' | 'federation-sender' | 'media' | 'pusher'

/** What a refill read from the table. */
export interface Refilled<Row> {
  /** In order of position. */
  readonly rows: readonly Row[]
  /** Parallel to `rows`; a text is absent where it is too large to carry. */
  readonly texts?: readonly (string | undefined)[]
  /** All rows up to here are in `rows`: the end of what was asked for, or less where the limit cut it. */
  readonly through: number
}

/**
 * Reads rows `fromExclusive < position <= toInclusive` again, at most about `limit` of them; rows that share a position
 * are never torn apart.
 */
export type Refill<Row> = (db: Queryable, fromExclusive: number, toInclusive: number, limit: number) => Promise<Refilled<Row>>

/** PostgreSQL keeps the rows: they can be read again, up to the stored position. */
export interface KeptInTable<Row> {
  readonly in: 'table'
  readonly refill: Refill<Row>
  /** The highest position that the table holds, 0 when it is empty: where a new writer begins at the latest. */
  readonly newest: (db: Queryable) => Promise<number>
}

/**
 * The rows live as long as Redis does: ids come from INCR, nobody waits for them, and a gap means "read what is there
 * now". A row is the whole of what is known under its key; what a reading no longer shows was emptied.
 */
export interface KeptInRedis<Row> {
  readonly in: 'redis'
  readonly keyOf: (row: Row) => string
  readonly isEmpty: (row: Row) => boolean
  readonly emptied: (row: Row, position: number) => Row
}

/** Where the rows of a stream can be read again. */
export type Kept<Row> = KeptInTable<Row> | KeptInRedis<Row>

/** All facts of a stream. `Row` has a `position`, a positive integer; several rows may share one where the stream says so. */
export interface StreamDefinition<
  Name extends string,
  Row extends object,
  ReadBy extends readonly ProcessClass[] = readonly ProcessClass[],
  K extends Kept<Row> = Kept<Row>,
  Token extends string | undefined = string | undefined,
> {
  /** On the wire and in `stream_positions`; never renamed. */
  readonly name: Name
  readonly writtenBy: readonly ProcessClass[]
  /** Every class here must give a reaction, or its composition does not compile. */
  readonly readBy: ReadBy
  /** Shape of a row on the wire; checked at the door of every follower. */
  readonly row: z.ZodType<Row>
  readonly kept: K
  /** The letter of this stream's position in a /sync token; absent where /sync does not show it. */
  readonly syncToken?: Token
  /** Another stream whose ids and transactions this one shares (current-state deltas share those of events). */
  readonly positionsOf?: string
  /** Live followers tell the writer how far they came: a logout answers once they have passed it. */
  readonly acknowledged?: boolean
}

/** Defines a stream; the only place that states its facts. */
export function defineStream<
  const Name extends string,
  Row extends object,
  const ReadBy extends readonly ProcessClass[],
  K extends Kept<Row>,
  const Token extends string | undefined = undefined,
>(definition: StreamDefinition<Name, Row, ReadBy, K, Token>): StreamDefinition<Name, Row, ReadBy, K, Token> {
  return definition
}

/** A stream of whatever rows. */
// biome-ignore lint/suspicious/noExplicitAny: rows differ from stream to stream; the name tells them apart at run time.
export type AnyStream = StreamDefinition<string, any>
/** A stream whose rows PostgreSQL keeps. */
// biome-ignore lint/suspicious/noExplicitAny: as above.
export type TableStream<Row extends object = any> = StreamDefinition<string, Row, readonly ProcessClass[], KeptInTable<Row>>
/** A stream whose rows live as long as Redis does. */
// biome-ignore lint/suspicious/noExplicitAny: as above.
export type RedisStream<Row extends object = any> = StreamDefinition<string, Row, readonly ProcessClass[], KeptInRedis<Row>>

/** The rows of a stream. */
// biome-ignore lint/suspicious/noExplicitAny: only the row is asked for.
export type RowOf<S> = S extends { readonly row: z.ZodType<infer Row extends object, any> } ? Row : never

/** The stream whose ids this one uses: itself, or the one it shares them with. */
export function baseName(stream: AnyStream): string {
  return stream.positionsOf ?? stream.name
}

/**
 * What a class does with the rows of a stream: synchronous, in the order of arrival. `texts` runs parallel to `rows`
 * where the stream carries texts (events: the client's JSON in UTF-8), decoded only by whoever reads one; a text that
 * was too large to travel is absent. `position` is the stream's position once these rows are applied.
 */
export type Reaction<Row> = (rows: readonly Row[], texts: readonly (Buffer | undefined)[], position: number) => void

/** Streams by the key they have in code. */
export type StreamSet = Readonly<Record<string, AnyStream>>

/** One reaction for each stream that a class reads: leaving one out does not compile. */
export type ReactionsFor<All extends StreamSet, Class extends ProcessClass> = {
  readonly [K in keyof All as Class extends All[K]['readBy'][number] ? K : never]: Reaction<RowOf<All[K]>>
}

/** Reactions under the names that streams have on the wire. */
export function reactionsByName(streams: StreamSet, reactions: object): Map<string, Reaction<never>> {
  const byKey = new Map<string, Reaction<never>>(Object.entries(reactions))
  const found = Object.entries(streams).map(([key, stream]) => [stream.name, byKey.get(key)] as const)
  return new Map(found.filter((pair): pair is [string, Reaction<never>] => pair[1] !== undefined))
}
