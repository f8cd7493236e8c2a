import {
  canonicalJson,
  clientEventText,
  isJsonObject,
  type JsonObject,
  own,
  parseJsonObject,
  quoteJson,
  type RoomVersion,
  redactContent,
} from '@weft/matrix'
import type { ClientEventRow, EventsReader } from './events.ts'

/** The events that an event's `unsigned` quotes. */
export interface QuotedEvents {
  /** The state event it replaced. */
  readonly replaced?: ClientEventRow | undefined
  /** The redaction that took effect on it. */
  readonly redaction?: ClientEventRow | undefined
}

/** How to show an event. */
export interface ClientEventOptions {
  /** Given where the answer names the room in each event: everywhere but in /sync. */
  readonly roomId?: string | undefined
  /** The viewer's membership at the event (MSC4115). */
  readonly membership?: string | undefined
  /** To the device that sent it only. */
  readonly transactionId?: string | undefined
  /** What relates to it, as JSON text (`aggregateRelations`). */
  readonly relations?: string | undefined
}

/** Stored JSON may be nested as deep as federation allows and hold lone surrogates in old room versions. */
const STORED = { maxDepth: 1000, allowLoneSurrogates: true }

/**
 * The event as a client sees it: its stored text with id and `unsigned` spliced in; pruned and with `redacted_because` where a
 * redaction took effect. Parses nothing but redactions, and what was redacted or replaced.
 * Spec: client-server API, "Room event format", "Redactions".
 */
function clientEvent(row: ClientEventRow, quoted: QuotedEvents, version: RoomVersion, options: ClientEventOptions = {}): string {
  const unsigned: string[] = []
  if (options.membership !== undefined) unsigned.push(`"membership":${quoteJson(options.membership)}`)
  const { replaced, redaction } = quoted
  if (replaced !== undefined && redaction === undefined) {
    unsigned.push(`"prev_content":${canonicalJson(contentOf(replaced, version, replaced.redactedBy !== undefined))}`)
    unsigned.push(`"prev_sender":${quoteJson(replaced.sender)}`)
  }
  if (replaced !== undefined) unsigned.push(`"replaces_state":${quoteJson(replaced.eventId)}`)
  if (redaction !== undefined) {
    const because = clientEventText(withRedacts(redaction.json), { eventId: redaction.eventId, roomId: options.roomId })
    unsigned.push(`"redacted_because":${because}`)
  }
  if (options.relations !== undefined) unsigned.push(`"m.relations":${options.relations}`)
  if (options.transactionId !== undefined) unsigned.push(`"transaction_id":${quoteJson(options.transactionId)}`)
  const json = redaction === undefined ? row.json : prunedJson(row, version)
  return clientEventText(row.type === 'm.room.redaction' ? withRedacts(json) : json, {
    eventId: row.eventId,
    roomId: options.roomId,
    unsignedJson: unsigned.length === 0 ? undefined : `{${unsigned.join(',')}}`,
  })
}

/** The content of a stored event, pruned where it was redacted. */
export function contentOf(row: Pick<ClientEventRow, 'json' | 'type'>, version: RoomVersion, redacted: boolean): JsonObject {
  const content = own(parseJsonObject(row.json, STORED), 'content')
  if (!isJsonObject(content)) return {}
  return redacted ? redactContent(row.type, content, version) : content
}

/** The client text of an event after redaction. */
export function prunedJson(row: Pick<ClientEventRow, 'json' | 'type'>, version: RoomVersion): string {
  const { redacts: _redacts, ...kept } = parseJsonObject(row.json, STORED)
  const content = own(kept, 'content')
  return canonicalJson({ ...kept, content: isJsonObject(content) ? redactContent(row.type, content, version) : {} })
}

/**
 * A redaction with `redacts` both where room versions before 11 have it and where later ones do, as clients of either kind look
 * for it. Spec: room version 11, "Moving the `redacts` property".
 */
export function withRedacts(json: string): string {
  const event = parseJsonObject(json, STORED)
  const content = own(event, 'content')
  const top = own(event, 'redacts')
  const inner = isJsonObject(content) ? own(content, 'redacts') : undefined
  if (isJsonObject(content) && typeof top === 'string' && inner === undefined) {
    return canonicalJson({ ...event, content: { ...content, redacts: top } })
  }
  return typeof inner === 'string' && top === undefined ? canonicalJson({ ...event, redacts: inner }) : json
}

/** Loads what the events quote, in at most one statement, and shows them in the order given. */
export async function clientEvents(
  reader: EventsReader,
  rows: readonly ClientEventRow[],
  version: RoomVersion,
  optionsOf: (row: ClientEventRow) => ClientEventOptions,
): Promise<string[]> {
  const quotedNids = new Set<number>()
  for (const row of rows) {
    if (row.replacesState !== undefined) quotedNids.add(row.replacesState)
    if (row.redactedBy !== undefined) quotedNids.add(row.redactedBy)
  }
  const quoted = await reader.byNids([...quotedNids])
  return rows.map((row) =>
    clientEvent(
      row,
      {
        replaced: row.replacesState === undefined ? undefined : quoted.get(row.replacesState),
        redaction: row.redactedBy === undefined ? undefined : quoted.get(row.redactedBy),
      },
      version,
      optionsOf(row),
    ),
  )
}
