import {
  canonicalJson,
  clientEventText,
  isJsonObject,
  type JsonObject,
  own,
  parseJsonObject,
  quoteJson,
  type RoomVersion,
} from '@weft/matrix'
import { contentOf, prunedJson, withRedacts } from '@weft/storage'

/** The facts of an event that /sync decides by. */
export interface EventFacts {
  readonly nid: number
  readonly eventId: string
  readonly roomNid: number
  /** 0 for an event that is in no timeline and comes as state only. */
  readonly position: number
  readonly type: string
  readonly stateKey: string | undefined
  readonly sender: string
  /** In ms, as its server said. */
  readonly originServerTs: number
  /** Absent for a room whose version this process has not read yet; what needs it is loaded then. */
  readonly version: RoomVersion | undefined
  readonly replacesNid: number | undefined
  readonly transaction: { readonly deviceId: string; readonly txnId: string } | undefined
}

/** What an event's client form quotes of others. */
export interface Quoted {
  readonly json: string
  readonly version: RoomVersion
  readonly replaced: { readonly eventId: string; readonly json: string; readonly redacted: boolean } | undefined
  readonly redaction: { readonly eventId: string; readonly json: string } | undefined
}

/** Stored JSON may be nested as deep as federation allows and hold lone surrogates in old room versions. */
const STORED = { maxDepth: 1000, allowLoneSurrogates: true }
/** Keys, numbers and pointers of one event, measured on a heap snapshot. */
const FIXED_BYTES = 400

/**
 * One event in this process's memory, shared by everybody who is shown it. Its text is spliced once; it comes as the bytes of an
 * announcement, which are decoded when somebody reads them, or from PostgreSQL.
 */
export class TimelineEvent {
  readonly facts: EventFacts
  #bytes: Buffer | undefined
  #quoted: Quoted | undefined
  #redactedBy: number | undefined
  #text: string | undefined
  #content: JsonObject | undefined

  constructor(facts: EventFacts, json: Buffer | undefined) {
    this.facts = facts
    this.#bytes = json
  }

  /** True when the text can be made without PostgreSQL. */
  get complete(): boolean {
    if (this.#quoted !== undefined) return this.#redactedBy === undefined || this.#quoted.redaction !== undefined
    return this.#bytes !== undefined && this.facts.replacesNid === undefined && this.#redactedBy === undefined
  }

  /** About what it occupies in memory. */
  get bytes(): number {
    return FIXED_BYTES + (this.#bytes?.length ?? 0) + (this.#quoted?.json.length ?? 0) + (this.#text?.length ?? 0)
  }

  /** Fills in what {@link complete} missed. */
  fill(quoted: Quoted): void {
    this.#quoted = quoted
    this.#bytes = undefined
    this.#text = undefined
    this.#content = undefined
  }

  /** A redaction took effect: from now on the event is shown pruned, as soon as the redaction itself is at hand. */
  redact(redaction: { readonly nid: number; readonly eventId: string; readonly json: string | undefined }): void {
    if (this.#redactedBy !== undefined) return
    this.#redactedBy = redaction.nid
    this.#text = undefined
    this.#content = undefined
    const json = this.json
    const { version } = this
    if (redaction.json === undefined || json === undefined || version === undefined) return
    if (this.#quoted === undefined && this.facts.replacesNid !== undefined) return
    this.#quoted = { json, version, replaced: this.#quoted?.replaced, redaction: { eventId: redaction.eventId, json: redaction.json } }
    this.#bytes = undefined
  }

  /** The client JSON as it was stored; `undefined` while it has to be loaded. */
  get json(): string | undefined {
    return this.#quoted?.json ?? this.#bytes?.toString()
  }

  get version(): RoomVersion | undefined {
    return this.#quoted?.version ?? this.facts.version
  }

  get redacted(): boolean {
    return this.#redactedBy !== undefined || this.#quoted?.redaction !== undefined
  }

  /** The content as clients see it: pruned where the event was redacted. Parsed once, for the few who read it. */
  get content(): JsonObject {
    if (this.#content === undefined) {
      const json = this.json
      if (json === undefined) return {}
      const { version } = this
      const content =
        version === undefined
          ? own(parseJsonObject(json, STORED), 'content')
          : contentOf({ json, type: this.facts.type }, version, this.redacted)
      this.#content = isJsonObject(content) ? content : {}
    }
    return this.#content
  }

  /**
   * The event in the client's format, without room id.
   * Spec: client-server API, "Room event format".
   * @param deviceId the reader's device: the one that sent the event is told the transaction id it sent it with
   * @param relations what relates to it, as JSON text
   */
  text(userId: string, deviceId: string | undefined, relations?: string): string {
    const { transaction, sender } = this.facts
    const own = transaction !== undefined && transaction.deviceId === deviceId && sender === userId
    if (own || relations !== undefined) return this.#splice(own ? transaction.txnId : undefined, relations)
    this.#text ??= this.#splice(undefined, undefined)
    return this.#text
  }

  /** Makes the text ahead, so that an answer of very many events has only to put texts together. */
  prepare(): void {
    this.#text ??= this.#splice(undefined, undefined)
  }

  #splice(txnId: string | undefined, relations: string | undefined): string {
    const { eventId, type } = this.facts
    const json = this.json
    if (json === undefined) throw new Error(`event ${eventId} was shown before it was loaded`)
    const unsigned: string[] = []
    const quoted = this.#quoted
    const redaction = quoted?.redaction
    const replaced = quoted?.replaced
    if (quoted !== undefined && replaced !== undefined && redaction === undefined) {
      unsigned.push(`"prev_content":${canonicalJson(contentOf({ json: replaced.json, type }, quoted.version, replaced.redacted))}`)
    }
    if (replaced !== undefined) unsigned.push(`"replaces_state":${quoteJson(replaced.eventId)}`)
    if (redaction !== undefined) {
      unsigned.push(`"redacted_because":${clientEventText(withRedacts(redaction.json), { eventId: redaction.eventId })}`)
    }
    if (relations !== undefined) unsigned.push(`"m.relations":${relations}`)
    if (txnId !== undefined) unsigned.push(`"transaction_id":${quoteJson(txnId)}`)
    let shown = json
    if (quoted !== undefined && redaction !== undefined) shown = prunedJson({ json, type }, quoted.version)
    else if (type === 'm.room.redaction') shown = withRedacts(json)
    return clientEventText(shown, { eventId, unsignedJson: unsigned.length === 0 ? undefined : `{${unsigned.join(',')}}` })
  }
}
