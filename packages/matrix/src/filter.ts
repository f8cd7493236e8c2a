import { MatrixError } from './errors.ts'
import { compileEventFields, type FieldSelector } from './event-fields.ts'
import { globListMatcher, type Matcher } from './glob.ts'
import { isJsonObject, type JsonObject, type JsonValue, own, RawNumber } from './json.ts'

/** What a filter looks at. */
export interface FilterableEvent {
  readonly type: string
  readonly sender?: string | undefined
  readonly roomId?: string | undefined
  /** Read only by `contains_url`; a function spares parsing for other filters. */
  readonly content?: JsonObject | (() => JsonObject) | undefined
}

/** Spec: client-server API, "Filtering", EventFilter. The lists are kept for those that filter in SQL. */
export interface EventFilter {
  readonly limit: number | undefined
  readonly types: readonly string[] | undefined
  readonly notTypes: readonly string[]
  readonly senders: readonly string[] | undefined
  readonly notSenders: readonly string[]
  /** True when every event passes, so that callers can skip the filter. */
  readonly allowsAll: boolean
  /** True when no event can pass, as with `types: []`. */
  readonly allowsNone: boolean
  matchesType(type: string): boolean
  matchesSender(sender: string): boolean
  matches(event: FilterableEvent): boolean
}

/** Spec: client-server API, "Filtering", RoomEventFilter. */
export interface RoomEventFilter extends EventFilter {
  readonly rooms: readonly string[] | undefined
  readonly notRooms: readonly string[]
  readonly containsUrl: boolean | undefined
  readonly lazyLoadMembers: boolean
  readonly includeRedundantMembers: boolean
  readonly unreadThreadNotifications: boolean
  /** Applied by those who know the relations; not part of {@link EventFilter.matches}. */
  readonly relatedByRelTypes: readonly string[] | undefined
  readonly relatedBySenders: readonly string[] | undefined
  matchesRoom(roomId: string): boolean
}

/** Spec: client-server API, "Filtering", RoomFilter. */
export interface RoomFilter {
  readonly rooms: readonly string[] | undefined
  readonly notRooms: readonly string[]
  readonly includeLeave: boolean
  readonly state: RoomEventFilter
  readonly timeline: RoomEventFilter
  readonly ephemeral: RoomEventFilter
  readonly accountData: RoomEventFilter
  matchesRoom(roomId: string): boolean
}

/** A compiled filter of /sync. Spec: client-server API, "Filtering", Filter. */
export interface SyncFilter {
  readonly eventFormat: 'client' | 'federation'
  /** `undefined` when all fields are wanted. */
  readonly eventFields: FieldSelector | undefined
  readonly presence: EventFilter
  readonly accountData: EventFilter
  readonly room: RoomFilter
}

/** The most entries that one list of a filter may have, and the most bytes all its lists together. */
export const MAX_FILTER_ENTRIES = 10_000
/** Entries with a `*` in a list of types: each costs with each event, where the others cost one look-up together (R16). */
export const MAX_FILTER_GLOBS = 100

/**
 * Checks and compiles a filter of /sync. Unknown keys are ignored, wrong types refused; a key with `null` is as good as absent.
 *
 * Spec: client-server API, "Filtering".
 * @throws MatrixError M_BAD_JSON, naming the key
 */
export function compileFilter(json: JsonValue): SyncFilter {
  const filter = object(json, 'filter')
  const format = own(filter, 'event_format') ?? 'client'
  if (format !== 'client' && format !== 'federation') throw bad('event_format', 'client or federation')
  const fields = list(filter, 'event_fields', '')
  return {
    eventFormat: format,
    eventFields: fields && compileEventFields(fields),
    presence: compileEventFilter(own(filter, 'presence') ?? {}, 'presence'),
    accountData: compileEventFilter(own(filter, 'account_data') ?? {}, 'account_data'),
    room: compileRoomFilter(own(filter, 'room') ?? {}),
  }
}

/** As {@link compileFilter}, for the EventFilter of one kind of data. @throws MatrixError M_BAD_JSON */
export function compileEventFilter(json: JsonValue, path = 'filter'): EventFilter {
  const filter = object(json, path)
  const types = typeList(filter, 'types', path)
  const notTypes = typeList(filter, 'not_types', path) ?? []
  const senders = list(filter, 'senders', path)
  const notSenders = list(filter, 'not_senders', path) ?? []
  const typeMatcher = includeExclude(types, notTypes, globs)
  const senderMatcher = includeExclude(senders, notSenders, exact)
  return {
    limit: limit(filter, path),
    types,
    notTypes,
    senders,
    notSenders,
    allowsAll: typeMatcher === undefined && senderMatcher === undefined,
    allowsNone: types?.length === 0 || senders?.length === 0,
    matchesType: typeMatcher ?? always,
    matchesSender: senderMatcher ?? always,
    matches: (event) =>
      (typeMatcher === undefined || typeMatcher(event.type)) &&
      (senderMatcher === undefined || matchesOptional(senderMatcher, event.sender)),
  }
}

/** As {@link compileFilter}, for the RoomEventFilter of /messages, /context and of the parts of a room. @throws MatrixError M_BAD_JSON */
export function compileRoomEventFilter(json: JsonValue, path = 'filter'): RoomEventFilter {
  const filter = object(json, path)
  const base = compileEventFilter(filter, path)
  const { rooms, notRooms, matcher: roomMatcher } = roomLists(filter, path)
  const containsUrl = boolean(filter, 'contains_url', path)
  return {
    ...base,
    rooms,
    notRooms,
    containsUrl,
    lazyLoadMembers: boolean(filter, 'lazy_load_members', path) ?? false,
    includeRedundantMembers: boolean(filter, 'include_redundant_members', path) ?? false,
    unreadThreadNotifications: boolean(filter, 'unread_thread_notifications', path) ?? false,
    relatedByRelTypes: list(filter, 'related_by_rel_types', path),
    relatedBySenders: list(filter, 'related_by_senders', path),
    allowsAll: base.allowsAll && roomMatcher === undefined && containsUrl === undefined,
    allowsNone: base.allowsNone || rooms?.length === 0,
    matchesRoom: roomMatcher ?? always,
    matches: (event) =>
      base.matches(event) &&
      (roomMatcher === undefined || matchesOptional(roomMatcher, event.roomId)) &&
      (containsUrl === undefined || hasUrl(event) === containsUrl),
  }
}

/** The number of events to return: what the filter asks for, or the default, at most `max`. Spec: client-server API, EventFilter. */
export function clampLimit(filter: EventFilter, fallback: number, max: number): number {
  return Math.min(filter.limit ?? fallback, max)
}

function compileRoomFilter(json: JsonValue): RoomFilter {
  const filter = object(json, 'room')
  const { rooms, notRooms, matcher } = roomLists(filter, 'room')
  const part = (key: string) => compileRoomEventFilter(own(filter, key) ?? {}, `room.${key}`)
  return {
    rooms,
    notRooms,
    includeLeave: boolean(filter, 'include_leave', 'room') ?? false,
    state: part('state'),
    timeline: part('timeline'),
    ephemeral: part('ephemeral'),
    accountData: part('account_data'),
    matchesRoom: matcher ?? always,
  }
}

function roomLists(filter: JsonObject, path: string) {
  const rooms = list(filter, 'rooms', path)
  const notRooms = list(filter, 'not_rooms', path) ?? []
  return { rooms, notRooms, matcher: includeExclude(rooms, notRooms, exact) }
}

/** Exclusion wins over inclusion. `undefined` when there is nothing to check. */
function includeExclude(
  included: readonly string[] | undefined,
  excluded: readonly string[],
  matcherOf: (entries: readonly string[]) => Matcher,
): Matcher | undefined {
  if (included === undefined && excluded.length === 0) return undefined
  const isIncluded = included === undefined ? always : matcherOf(included)
  const isExcluded = matcherOf(excluded)
  return (text) => isIncluded(text) && !isExcluded(text)
}

function globs(patterns: readonly string[]): Matcher {
  return globListMatcher(patterns, { questionMark: false })
}

function exact(entries: readonly string[]): Matcher {
  const set = new Set(entries)
  return (text) => set.has(text)
}

const always: Matcher = () => true

/** What an event lacks matches no list of inclusions, and no list of exclusions either. */
function matchesOptional(matcher: Matcher, text: string | undefined): boolean {
  return matcher(text ?? '')
}

function hasUrl(event: FilterableEvent): boolean {
  const content = typeof event.content === 'function' ? event.content() : event.content
  return content !== undefined && typeof own(content, 'url') === 'string'
}

function object(json: JsonValue, path: string): JsonObject {
  if (!isJsonObject(json)) throw bad(path, 'an object')
  return json
}

function list(filter: JsonObject, key: string, path: string): string[] | undefined {
  const value = own(filter, key) ?? undefined
  if (value === undefined) return undefined
  if (!Array.isArray(value) || value.length > MAX_FILTER_ENTRIES || !value.every((entry) => typeof entry === 'string')) {
    throw bad(join(path, key), `a list of at most ${MAX_FILTER_ENTRIES} strings`)
  }
  return value as string[]
}

function typeList(filter: JsonObject, key: string, path: string): string[] | undefined {
  const types = list(filter, key, path)
  if (types !== undefined && types.filter((type) => type.includes('*')).length > MAX_FILTER_GLOBS) {
    throw bad(join(path, key), `a list with at most ${MAX_FILTER_GLOBS} wildcards`)
  }
  return types
}

function boolean(filter: JsonObject, key: string, path: string): boolean | undefined {
  const value = own(filter, key) ?? undefined
  if (value !== undefined && typeof value !== 'boolean') throw bad(join(path, key), 'a boolean')
  return value
}

// The spec asks for more than 0; some clients send 0 for "no events", which harms nobody. 10.0 is a 10 to many JSON libraries.
function limit(filter: JsonObject, path: string): number | undefined {
  const value = own(filter, 'limit') ?? undefined
  if (value === undefined) return undefined
  const number = value instanceof RawNumber ? Number(value.source) : value
  if (typeof number !== 'number' || !(number >= 0)) throw bad(join(path, 'limit'), 'an integer that is not negative')
  return Math.min(Math.trunc(number), Number.MAX_SAFE_INTEGER)
}

function join(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}

function bad(path: string, expected: string): MatrixError {
  return new MatrixError('M_BAD_JSON', `Invalid filter: ${path} must be ${expected}`)
}
