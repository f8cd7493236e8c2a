import { joinPdu, redact, requireRoomVersion, splitPdu } from '@weft/matrix'
import { type Queryable, type RedactedEventRow, type RedactedEventsReader, redactedEventsWriter } from '@weft/storage'

/** Events in one transaction, so that none holds rows for long. */
const BATCH = 100
/** Between two batches, so that what people wait for goes first. */
const PAUSE_MS = 50

/**
 * Overwrites the text of events that were redacted long enough ago: what is stored is then what everybody is shown since the
 * redaction. Spec: client-server API, "Redactions": server owners may delete the content from their databases.
 */
export class RedactionErasure {
  readonly #redacted: RedactedEventsReader
  readonly #db: Queryable
  readonly #clock: { now(): number; setTimeout(fn: () => void, ms: number): unknown }

  constructor(options: {
    redacted: RedactedEventsReader
    /** Runs a statement in a transaction that this writer's epoch fences. */
    db: Queryable
    clock: { now(): number; setTimeout(fn: () => void, ms: number): unknown }
  }) {
    this.#redacted = options.redacted
    this.#db = options.db
    this.#clock = options.clock
  }

  /**
   * Erases batch by batch until nothing is due. @returns how many events were erased
   * @param keepMs how long after its redaction an event keeps its text
   */
  async run(keepMs: number, signal: AbortSignal): Promise<number> {
    let erased = 0
    for (;;) {
      signal.throwIfAborted()
      const rows = await this.#redacted.due(this.#clock.now() - keepMs, BATCH)
      if (rows.length === 0) return erased
      const { sql, values } = redactedEventsWriter.erase(rows.map(erasedTexts))
      await this.#db.execute(sql, values)
      erased += rows.length
      if (rows.length === BATCH) await new Promise<void>((resolve) => void this.#clock.setTimeout(resolve, PAUSE_MS))
    }
  }
}

/** What is left of an event by the redaction algorithm of its room version: of both its texts, unknown keys of the PDU too. */
function erasedTexts({ eventNid, roomId, roomVersion, json, envelope }: RedactedEventRow) {
  const version = requireRoomVersion(roomVersion)
  const { clientJson, envelopeJson } = splitPdu(redact(joinPdu(json, envelope, roomId, version), version))
  return { eventNid, json: clientJson, envelope: envelopeJson }
}
