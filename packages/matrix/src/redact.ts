import type { Pdu } from './event.ts'
import { isJsonObject, type JsonObject, type JsonValue, own } from './json.ts'
import type { RedactionRules, RoomVersion } from './room-version.ts'

const KEPT_SINCE_V11 = [
  'event_id',
  'type',
  'room_id',
  'sender',
  'state_key',
  'content',
  'hashes',
  'signatures',
  'depth',
  'prev_events',
  'auth_events',
  'origin_server_ts',
]
const KEPT_BEFORE_V11 = [...KEPT_SINCE_V11, 'prev_state', 'origin', 'membership']

const POWER_LEVEL_KEYS = ['ban', 'events', 'events_default', 'kick', 'redact', 'state_default', 'users', 'users_default']

/**
 * The event without what a redaction removes, by the rules of its room version; `unsigned` goes too. The argument is not
 * changed; values are shared with it.
 *
 * Spec: room versions 1, 6, 8, 9 and 11, "Redactions".
 */
export function redact(pdu: Pdu, version: RoomVersion): Pdu {
  const kept: JsonObject = {}
  for (const key of version.redactionRules === 'v11' ? KEPT_SINCE_V11 : KEPT_BEFORE_V11) {
    const value = own(pdu as JsonObject, key)
    if (value !== undefined) kept[key] = value
  }
  kept.content = redactContent(pdu.type, pdu.content, version)
  return kept as unknown as Pdu
}

/**
 * The part of an event's content that survives a redaction. The very same object comes back when everything survives.
 *
 * Spec: room versions 1, 6, 8, 9 and 11, "Redactions".
 */
export function redactContent(type: string, content: JsonObject, version: RoomVersion): JsonObject {
  const rules = version.redactionRules
  switch (type) {
    case 'm.room.member':
      return redactMember(content, rules)
    case 'm.room.create':
      return rules === 'v11' ? content : pick(content, ['creator'])
    case 'm.room.join_rules':
      return pick(content, rules === 'v1' || rules === 'v6' ? ['join_rule'] : ['join_rule', 'allow'])
    case 'm.room.power_levels':
      return pick(content, rules === 'v11' ? [...POWER_LEVEL_KEYS, 'invite'] : POWER_LEVEL_KEYS)
    case 'm.room.history_visibility':
      return pick(content, ['history_visibility'])
    case 'm.room.aliases':
      return rules === 'v1' ? pick(content, ['aliases']) : {}
    case 'm.room.redaction':
      return rules === 'v11' ? pick(content, ['redacts']) : {}
    default:
      return {}
  }
}

function redactMember(content: JsonObject, rules: RedactionRules): JsonObject {
  const kept = pick(content, rules === 'v9' || rules === 'v11' ? ['membership', 'join_authorised_via_users_server'] : ['membership'])
  if (rules === 'v11') {
    const invite = own(content, 'third_party_invite')
    // The spec does not say what becomes of an object without `signed`; Synapse leaves an empty one, and hashes must agree.
    if (isJsonObject(invite)) kept.third_party_invite = pick(invite, ['signed'])
  }
  return kept
}

function pick(content: JsonObject, keys: readonly string[]): JsonObject {
  const kept: JsonObject = {}
  for (const key of keys) {
    const value: JsonValue | undefined = own(content, key)
    if (value !== undefined) kept[key] = value
  }
  return kept
}
