import { isJsonObject, type JsonObject, type JsonValue, own } from './json.ts'

/** The state that goes into invites, knocks and summaries. Spec: client-server API, "Stripped state". */
export const STRIPPED_STATE_TYPES: ReadonlyArray<readonly [type: string, stateKey: string]> = [
  ['m.room.create', ''],
  ['m.room.name', ''],
  ['m.room.avatar', ''],
  ['m.room.topic', ''],
  ['m.room.join_rules', ''],
  ['m.room.canonical_alias', ''],
  ['m.room.encryption', ''],
]

/** How many events of another server's stripped state are taken; its own list has seven, and the invite. */
export const MAX_STRIPPED_STATE_EVENTS = 50

/** A state event with nothing but what stripped state may have. A type and no interface, so that it is a `JsonObject` too. */
export type StrippedStateEvent = {
  type: string
  state_key: string
  sender: string
  content: JsonObject
}

/** The stripped form of a state event. Spec: client-server API, "Stripped state". */
export function strippedState(event: {
  readonly type: string
  readonly stateKey: string
  readonly sender: string
  readonly content: JsonObject
}): StrippedStateEvent {
  return { type: event.type, state_key: event.stateKey, sender: event.sender, content: event.content }
}

/**
 * What another server sent as stripped state, pruned for clients: events of the wrong shape are left out, other keys dropped. A
 * value that is no list gives none.
 *
 * Spec: client-server API, "Stripped state": servers are expected to prune.
 */
export function pruneStrippedState(value: JsonValue | undefined): StrippedStateEvent[] {
  if (!Array.isArray(value)) return []
  const pruned: StrippedStateEvent[] = []
  for (const item of value) {
    if (pruned.length === MAX_STRIPPED_STATE_EVENTS) break
    if (!isJsonObject(item)) continue
    const type = own(item, 'type')
    const stateKey = own(item, 'state_key')
    const sender = own(item, 'sender')
    const content = own(item, 'content')
    if (typeof type === 'string' && typeof stateKey === 'string' && typeof sender === 'string' && isJsonObject(content)) {
      pruned.push({ type, state_key: stateKey, sender, content })
    }
  }
  return pruned
}

/**
 * The create event among an invite's state in PDU form, which room version 12 needs to know the room by.
 * @returns `undefined` when there is none
 */
export function createEventIn(inviteRoomState: JsonValue | undefined): JsonObject | undefined {
  if (!Array.isArray(inviteRoomState)) return undefined
  return inviteRoomState.filter(isJsonObject).find((event) => own(event, 'type') === 'm.room.create' && own(event, 'state_key') === '')
}
