import { type PowerLevels, type RoomVersion, redactContent, redactionApplies, redactionTarget } from '@weft/matrix'
import { type BoundSql, eventGraphWriter, eventsWriter, isStorableId } from '@weft/storage'
import { keptContent, type RoomHead } from '../room-head.ts'
import type { KnownEvent } from './known-event.ts'
import type { ReceivedEvent } from './read-pdu.ts'

/** The id of the event that a redaction is for; absent for other events, and where it names nothing that could be one. */
export function redactedId(event: ReceivedEvent, version: RoomVersion): string | undefined {
  if (event.pdu.type !== 'm.room.redaction') return undefined
  const target = redactionTarget(event.pdu, version.contentRedacts)
  return target !== undefined && isStorableId(target) ? target : undefined
}

/**
 * Redactions and what they are for, among the events of a batch and what is stored. A redaction counts once both are here and it
 * is allowed, whichever came first.
 *
 * Spec: room version 3, "Handling redactions".
 */
export class Redactions {
  readonly #head: RoomHead
  /** Redactions by the id of what they wait for. */
  readonly #early: Map<string, KnownEvent[]>
  readonly #waiting: Array<{ redacts: string; eventNid: number }> = []
  readonly #met: string[] = []
  readonly #done: Array<{ redactsNid: number; eventNid: number }> = []

  /** @param early those stored before what they redact, by its id */
  constructor(head: RoomHead, early: ReadonlyMap<string, readonly KnownEvent[]>) {
    this.#head = head
    this.#early = new Map([...early].map(([id, redactions]) => [id, [...redactions]]))
  }

  /**
   * An accepted redaction.
   * @param target the event it is for, if it is here
   * @param levels of the state before the redaction; asked for only where they matter
   * @returns what it takes effect on
   */
  async redaction(
    redaction: KnownEvent,
    targetId: string,
    target: KnownEvent | undefined,
    levels: () => Promise<PowerLevels | undefined>,
  ): Promise<{ eventId: string; eventNid: number } | undefined> {
    if (target === undefined) {
      const before = this.#early.get(targetId)
      if (before === undefined) this.#early.set(targetId, [redaction])
      else before.push(redaction)
      this.#waiting.push({ redacts: targetId, eventNid: redaction.row.eventNid })
      return undefined
    }
    if (!(await this.#applies(redaction, target, levels))) return undefined
    this.#redactInState(target)
    return { eventId: target.eventId, eventNid: target.row.eventNid }
  }

  /**
   * An event that was not here before, for which redactions may have waited.
   * @param levels of the state before such a redaction
   * @returns true where one of them takes effect
   */
  async target(target: KnownEvent, levels: (redaction: KnownEvent) => Promise<PowerLevels | undefined>): Promise<boolean> {
    const early = this.#early.get(target.eventId)
    if (early === undefined) return false
    this.#met.push(target.eventId)
    for (const redaction of early) {
      if (!(await this.#applies(redaction, target, () => levels(redaction)))) continue
      this.#done.push({ redactsNid: target.row.eventNid, eventNid: redaction.row.eventNid })
      this.#redactInState(target)
      return true
    }
    return false
  }

  /** What the batch has to write for them. */
  statements(): BoundSql[] {
    const { roomNid } = this.#head
    const met = new Set(this.#met)
    const waiting = this.#waiting.filter(({ redacts }) => !met.has(redacts))
    return [
      ...(waiting.length > 0 ? [eventGraphWriter.addEarlyRedactions(roomNid, waiting)] : []),
      ...(met.size > 0 ? [eventGraphWriter.removeEarlyRedactions(roomNid, [...met])] : []),
      ...(this.#done.length > 0 ? [eventsWriter.setRedactedBy(this.#done)] : []),
    ]
  }

  async #applies(redaction: KnownEvent, target: KnownEvent, levels: () => Promise<PowerLevels | undefined>): Promise<boolean> {
    const { version, roomNid } = this.#head
    // A room without the content of its create event would be no room: no server prunes it.
    if (target.row.roomNid !== roomNid || target.row.type === 'm.room.create') return false
    const known = await levels()
    return known !== undefined && redactionApplies(version, redaction.row, target.row, known)
  }

  /** A redacted event of the state counts by what is left of it. */
  #redactInState({ row }: KnownEvent): void {
    const entry = row.stateKey === undefined ? undefined : this.#head.get(row.type, row.stateKey)
    if (entry === undefined || entry.eventNid !== row.eventNid) return
    this.#head.setState({ ...entry, content: keptContent(entry.type, redactContent(entry.type, entry.content, this.#head.version)) })
  }
}
