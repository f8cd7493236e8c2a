import { expect, test } from '@jest/globals'
import { type PushRuleset, predefinedPushRules } from '../src/index.ts'

const ME = '@me:weft.test'
const rules = predefinedPushRules(ME)

/** Spec: client-server API, "Predefined Rules": the ids in their order. */
const IDS: Record<keyof PushRuleset, string[]> = {
  override: [
    'master',
    'suppress_notices',
    'invite_for_me',
    'member_event',
    'is_user_mention',
    'is_room_mention',
    'tombstone',
    'reaction',
    'room.server_acl',
    'suppress_edits',
  ],
  content: [],
  room: [],
  sender: [],
  underride: ['call', 'encrypted_room_one_to_one', 'room_one_to_one', 'message', 'encrypted'],
}

test('predefined push rules are the ones of the specification, in its order', () => {
  for (const [kind, ids] of Object.entries(IDS)) {
    expect(rules[kind as keyof PushRuleset].map((rule) => rule.rule_id)).toEqual(ids.map((id) => `.m.rule.${id}`))
  }
})

test('every predefined push rule is on, but the one that turns all off', () => {
  const all = [...rules.override, ...rules.underride]
  expect(all.filter((rule) => !rule.enabled).map((rule) => rule.rule_id)).toEqual(['.m.rule.master'])
  expect(all.every((rule) => rule.default)).toBe(true)
})

test('rules about invites and mentions name the user', () => {
  expect(rules.override.find((rule) => rule.rule_id === '.m.rule.invite_for_me')?.conditions.at(-1)).toEqual({
    kind: 'event_match',
    key: 'state_key',
    pattern: ME,
  })
  expect(rules.override.find((rule) => rule.rule_id === '.m.rule.is_user_mention')).toEqual({
    rule_id: '.m.rule.is_user_mention',
    default: true,
    enabled: true,
    conditions: [{ kind: 'event_property_contains', key: 'content.m\\.mentions.user_ids', value: ME }],
    actions: ['notify', { set_tweak: 'sound', value: 'default' }, { set_tweak: 'highlight' }],
  })
})
