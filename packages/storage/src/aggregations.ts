import { isJsonObject, type JsonObject, own, quoteJson, type RoomVersion, relationOf, requireRoomVersion } from '@weft/matrix'
import { clientEvents, contentOf } from './client-events.ts'
import type { ClientEventRow, EventsReader } from './events.ts'
import type { Parent, RelationsReader } from './relations.ts'
import type { RoomsReader } from './rooms.ts'

/** An event that is shown, as far as what relates to it depends on it. */
export interface AggregatedEvent extends Parent {
  readonly stateKey: string | undefined
  readonly redacted: boolean
  /** Of its room; read where the caller does not know it. */
  readonly version: RoomVersion | undefined
  /** Named in the events that are quoted, where the answer names the room in each event. */
  readonly roomId: string | undefined
  content(): JsonObject
  /** Whether the reader may see an event of the same room. */
  sees(event: Pick<ClientEventRow, 'streamOrdering' | 'type' | 'stateKey'>): boolean
}

/** For whom relations are summed up. */
export interface AggregationViewer {
  readonly userId: string
  /** Whom the user ignores; asked for only where something relates to what is shown. */
  ignored(): Promise<ReadonlySet<string>>
}

/** Where relations and their events are read from. */
export interface AggregationReaders {
  readonly relations: RelationsReader
  readonly events: EventsReader
  readonly rooms: RoomsReader
}

type Known = AggregatedEvent & { readonly version: RoomVersion }

const SUMMED_UP = ['m.replace', 'm.reference', 'm.thread'] as const
/** The latest event of a thread has what relates to it too, but is no thread itself. */
const SUMMED_UP_IN_THREADS = ['m.replace', 'm.reference'] as const
/** References of one event that are listed. */
const MAX_REFERENCES = 200

/**
 * What relates to each of these events, as the text of `unsigned.m.relations` by event id. Where nothing does, as with nearly all
 * events, it costs one statement for all of them together.
 *
 * Spec: client-server API, "Aggregations of child events", and the sections on `m.replace`, `m.reference` and `m.thread`.
 */
export function aggregateRelations(
  readers: AggregationReaders,
  events: readonly AggregatedEvent[],
  viewer: AggregationViewer,
): Promise<Map<string, string>> {
  return aggregate(readers, events, viewer, SUMMED_UP)
}

async function aggregate(
  readers: AggregationReaders,
  events: readonly AggregatedEvent[],
  viewer: AggregationViewer,
  types: readonly string[],
): Promise<Map<string, string>> {
  // Spec: state events do not currently receive bundled aggregations.
  const asked = events.filter((event) => event.stateKey === undefined)
  const kinds = await readers.relations.kinds(asked, types)
  if (kinds.length === 0) return new Map()
  const related = new Set(kinds.map((kind) => kind.parentId))
  const parents = await withVersions(
    readers,
    asked.filter((event) => related.has(event.eventId)),
  )
  const of = (type: string) =>
    kinds.flatMap(({ parentId, relationType }) => (relationType === type ? [parents.get(parentId) as Known] : []))
  const ignored = await viewer.ignored()
  const parts = await Promise.all([
    replacementsOf(readers, of('m.replace'), ignored),
    referencesOf(readers, of('m.reference'), ignored),
    threadsOf(readers, of('m.thread'), ignored, viewer),
  ])
  const summed = new Map<string, string>()
  for (const eventId of parents.keys()) {
    const found = parts.flatMap((part) => part.get(eventId) ?? [])
    if (found.length > 0) summed.set(eventId, `{${found.join(',')}}`)
  }
  return summed
}

/** Spec: client-server API, "Validity of replacement events", "Server-side aggregation of m.replace relationships". */
async function replacementsOf(readers: AggregationReaders, events: readonly Known[], ignored: ReadonlySet<string>) {
  const editable = events.filter((event) => !event.redacted && relationOf(event.content())?.relType !== 'm.replace')
  const latest = await readers.relations.replacements(editable)
  const shown: Array<readonly [Known, ClientEventRow]> = []
  for (const event of editable) {
    const row = latest.get(event.eventId)
    if (row === undefined || ignored.has(row.sender) || !event.sees(row)) continue
    const newContent = own(contentOf(row, event.version, false), 'm.new_content')
    if (row.type === 'm.room.encrypted' || isJsonObject(newContent)) shown.push([event, row])
  }
  return quote(readers, shown, (text) => `"m.replace":${text}`)
}

/** Spec: client-server API, "Server-side aggregation of m.reference". */
async function referencesOf(readers: AggregationReaders, events: readonly AggregatedEvent[], ignored: ReadonlySet<string>) {
  const byId = new Map(events.map((event) => [event.eventId, event]))
  const chunks = new Map<string, string[]>()
  for (const { parentId, eventId, ...child } of await readers.relations.references(events, [...ignored], MAX_REFERENCES)) {
    if (byId.get(parentId)?.sees(child) !== true) continue
    const chunk = chunks.get(parentId) ?? []
    chunk.push(`{"event_id":${quoteJson(eventId)}}`)
    chunks.set(parentId, chunk)
  }
  return new Map([...chunks].map(([parentId, chunk]) => [parentId, `"m.reference":{"chunk":[${chunk.join(',')}]}`]))
}

/** Spec: client-server API, "Server-side aggregation of m.thread relationships". */
async function threadsOf(readers: AggregationReaders, events: readonly Known[], ignored: ReadonlySet<string>, viewer: AggregationViewer) {
  const byId = new Map(events.map((event) => [event.eventId, event]))
  const threads = await readers.relations.threads(events, [...ignored], viewer.userId)
  const rows = await readers.events.byNids(threads.map((thread) => thread.latestNid))
  const found = threads.flatMap((thread) => {
    const root = byId.get(thread.rootId)
    const latest = rows.get(thread.latestNid)
    return root === undefined || latest === undefined || !root.sees(latest) ? [] : [{ thread, root, latest }]
  })
  const inner = await aggregate(
    readers,
    found.map(({ root, latest }) => childOf(root, latest)),
    { ...viewer, ignored: async () => ignored },
    SUMMED_UP_IN_THREADS,
  )
  const texts = await quote(
    readers,
    found.map(({ root, latest }) => [root, latest] as const),
    (text, root) => {
      const { thread } = found.find((one) => one.root === root) as (typeof found)[number]
      const participated = thread.participated || root.sender === viewer.userId
      return `"m.thread":{"latest_event":${text},"count":${thread.count},"current_user_participated":${participated}}`
    },
    inner,
  )
  return texts
}

/** Quotes one event for each parent, in the form that the parent itself is shown in. */
async function quote(
  readers: AggregationReaders,
  pairs: ReadonlyArray<readonly [parent: Known, row: ClientEventRow]>,
  wrap: (text: string, parent: Known) => string,
  relations?: ReadonlyMap<string, string>,
): Promise<Map<string, string>> {
  const texts = new Map<string, string>()
  const versions = new Map<RoomVersion, Array<readonly [Known, ClientEventRow]>>()
  for (const pair of pairs) {
    const same = versions.get(pair[0].version)
    if (same === undefined) versions.set(pair[0].version, [pair])
    else same.push(pair)
  }
  for (const [version, group] of versions) {
    const parentOf = new Map(group.map(([parent, row]) => [row, parent]))
    const shown = await clientEvents(
      readers.events,
      group.map(([, row]) => row),
      version,
      (row) => ({ roomId: parentOf.get(row)?.roomId, relations: relations?.get(row.eventId) }),
    )
    for (const [i, [parent]] of group.entries()) texts.set(parent.eventId, wrap(shown[i] as string, parent))
  }
  return texts
}

/** The events by id, with their rooms' versions. */
async function withVersions(readers: AggregationReaders, events: readonly AggregatedEvent[]): Promise<Map<string, Known>> {
  const missing = new Set(events.filter((event) => event.version === undefined).map((event) => event.roomNid))
  const rooms = new Map((await readers.rooms.byNids([...missing])).map((room) => [room.roomNid, room.roomVersion]))
  return new Map(
    events.map((event) => [event.eventId, { ...event, version: event.version ?? requireRoomVersion(rooms.get(event.roomNid) ?? '') }]),
  )
}

function childOf(root: Known, row: ClientEventRow): AggregatedEvent {
  const { version, roomId, until, sees } = root
  const { eventId, roomNid, sender, type, stateKey } = row
  const content = () => contentOf(row, version, false)
  return { eventId, roomNid, sender, type, stateKey, until, version, roomId, content, sees, redacted: false }
}
