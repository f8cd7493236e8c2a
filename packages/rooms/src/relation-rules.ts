import { type JsonObject, MatrixError, own, ownObject, type Relation, relationOf, requireRoomVersion } from '@weft/matrix'
import { contentOf, type EventsReader, type RelationsReader, type RoomsReader } from '@weft/storage'

/** A message that is about to be sent. */
interface Message {
  readonly roomId: string
  readonly sender: string
  readonly type: string
  readonly content: JsonObject
}

/** Thread roots that are remembered to be such, so that the messages of a thread read nothing but for the first. */
const MAX_ROOTS = 10_000

/**
 * What clients may not send as a relation: a second annotation of the same kind, and a thread that begins at an event which
 * itself relates to another. Other relations that break the rules are sent, and ignored where relations are summed up.
 *
 * Spec: client-server API, "Avoiding duplicate annotations", "Validation of m.thread relationships".
 */
export class RelationRules {
  readonly #relations: RelationsReader
  readonly #events: EventsReader
  readonly #rooms: RoomsReader
  /** Annotations on their way to the table. */
  readonly #sending = new Set<string>()
  readonly #roots = new Set<string>()

  constructor(options: { relations: RelationsReader; events: EventsReader; rooms: RoomsReader }) {
    this.#relations = options.relations
    this.#events = options.events
    this.#rooms = options.rooms
  }

  /** What has to be asked around the sending of a message; `undefined`, at once, for nearly all of them. */
  guardOf(message: Message): (<T>(send: () => Promise<T>) => Promise<T>) | undefined {
    const relation = relationOf(message.content)
    switch (relation?.relType) {
      case 'm.annotation':
        return (send) => this.#annotate(message, relation, send)
      case 'm.thread':
        if (this.#roots.has(relation.eventId)) return undefined
        return async (send) => {
          await this.#requireRoot(message.roomId, relation.eventId)
          return await send()
        }
      default:
        return undefined
    }
  }

  /** @throws MatrixError M_DUPLICATE_ANNOTATION */
  async #annotate<T>(message: Message, relation: Relation, send: () => Promise<T>): Promise<T> {
    const { roomId, sender, type } = message
    const duplicate = () => new MatrixError('M_DUPLICATE_ANNOTATION', 'You have annotated the event with that already')
    const identity = JSON.stringify([roomId, sender, type, relation.eventId, keyOf(message.content)])
    if (this.#sending.has(identity)) throw duplicate()
    this.#sending.add(identity)
    try {
      if (await this.#isAnnotated(message, relation)) throw duplicate()
      return await send()
    } finally {
      this.#sending.delete(identity)
    }
  }

  async #isAnnotated({ roomId, sender, type, content }: Message, relation: Relation): Promise<boolean> {
    const room = await this.#rooms.byRoomId(roomId)
    if (room === undefined) return false
    const version = requireRoomVersion(room.roomVersion)
    const asked = { roomNid: room.roomNid, relatesToId: relation.eventId, relationType: 'm.annotation', sender, type }
    const others = await this.#relations.ofSender(asked)
    return others.some((other) => keyOf(contentOf(other, version, false)) === keyOf(content))
  }

  /** @throws MatrixError M_UNKNOWN (400) */
  async #requireRoot(roomId: string, eventId: string): Promise<void> {
    const [room, root] = await Promise.all([this.#rooms.byRoomId(roomId), this.#events.byId(eventId)])
    // What is not here, or elsewhere, makes a relation that is ignored.
    if (room === undefined || root === undefined || root.roomNid !== room.roomNid) return
    const content = contentOf(root, requireRoomVersion(room.roomVersion), root.redactedBy !== undefined)
    if (relationOf(content) !== undefined) {
      throw new MatrixError('M_UNKNOWN', 'A thread cannot begin at an event that relates to another', { status: 400 })
    }
    this.#roots.add(eventId)
    if (this.#roots.size > MAX_ROOTS) this.#roots.delete(this.#roots.values().next().value as string)
  }
}

/** The key of an annotation, of whatever type. */
function keyOf(content: JsonObject): string {
  const relatesTo = ownObject(content, 'm.relates_to')
  return JSON.stringify((relatesTo && own(relatesTo, 'key')) ?? null)
}
