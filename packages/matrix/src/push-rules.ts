/** What a rule looks at. Spec: client-server API, "Conditions". */
export type PushCondition =
  | { kind: 'event_match'; key: string; pattern: string }
  | { kind: 'event_property_is' | 'event_property_contains'; key: string; value: string | number | boolean | null }
  | { kind: 'room_member_count'; is: string }
  | { kind: 'sender_notification_permission'; key: string }

/** What a matching rule does; no action at all means no notification. Spec: client-server API, "Actions". */
export type PushAction = 'notify' | { set_tweak: 'sound'; value: string } | { set_tweak: 'highlight' }

/** A rule as clients see it. Spec: client-server API, "Push Rules". */
export interface PushRule {
  readonly rule_id: string
  /** True for rules of the server, whose ids start with a dot. */
  readonly default: boolean
  readonly enabled: boolean
  /** All must hold; a rule without conditions always matches. */
  readonly conditions: readonly PushCondition[]
  readonly actions: readonly PushAction[]
}

/** Rules by kind. Kinds, and the rules of each, stand from the most to the least important. */
export interface PushRuleset {
  readonly override: readonly PushRule[]
  readonly content: readonly PushRule[]
  readonly room: readonly PushRule[]
  readonly sender: readonly PushRule[]
  readonly underride: readonly PushRule[]
}

const SOUND: PushAction = { set_tweak: 'sound', value: 'default' }
const RING: PushAction = { set_tweak: 'sound', value: 'ring' }
const HIGHLIGHT: PushAction = { set_tweak: 'highlight' }

/**
 * The rules of a user who has changed none: the server-default rules in the order of the specification.
 *
 * Spec: client-server API, "Predefined Rules"; since v1.17 no rule searches the body for mentions.
 * @param userId whom the rules about invites and mentions look for
 */
export function predefinedPushRules(userId: string): PushRuleset {
  const override = [
    { ...rule('.m.rule.master', [], []), enabled: false },
    rule('.m.rule.suppress_notices', [match('content.msgtype', 'm.notice')], []),
    rule(
      '.m.rule.invite_for_me',
      [match('type', 'm.room.member'), match('content.membership', 'invite'), match('state_key', userId)],
      ['notify', SOUND],
    ),
    rule('.m.rule.member_event', [match('type', 'm.room.member')], []),
    rule(
      '.m.rule.is_user_mention',
      [{ kind: 'event_property_contains', key: 'content.m\\.mentions.user_ids', value: userId }],
      ['notify', SOUND, HIGHLIGHT],
    ),
    ...OVERRIDES_FOR_ALL,
  ]
  return { override, content: [], room: [], sender: [], underride: UNDERRIDES }
}

const OVERRIDES_FOR_ALL: readonly PushRule[] = [
  rule(
    '.m.rule.is_room_mention',
    [
      { kind: 'event_property_is', key: 'content.m\\.mentions.room', value: true },
      { kind: 'sender_notification_permission', key: 'room' },
    ],
    ['notify', HIGHLIGHT],
  ),
  rule('.m.rule.tombstone', [match('type', 'm.room.tombstone'), match('state_key', '')], ['notify', HIGHLIGHT]),
  rule('.m.rule.reaction', [match('type', 'm.reaction')], []),
  rule('.m.rule.room.server_acl', [match('type', 'm.room.server_acl'), match('state_key', '')], []),
  rule('.m.rule.suppress_edits', [{ kind: 'event_property_is', key: 'content.m\\.relates_to.rel_type', value: 'm.replace' }], []),
]

const UNDERRIDES: readonly PushRule[] = [
  rule('.m.rule.call', [match('type', 'm.call.invite')], ['notify', RING]),
  rule('.m.rule.encrypted_room_one_to_one', [members('2'), match('type', 'm.room.encrypted')], ['notify', SOUND]),
  rule('.m.rule.room_one_to_one', [members('2'), match('type', 'm.room.message')], ['notify', SOUND]),
  rule('.m.rule.message', [match('type', 'm.room.message')], ['notify']),
  rule('.m.rule.encrypted', [match('type', 'm.room.encrypted')], ['notify']),
]

function rule(ruleId: string, conditions: readonly PushCondition[], actions: readonly PushAction[]): PushRule {
  return { rule_id: ruleId, default: true, enabled: true, conditions, actions }
}

function match(key: string, pattern: string): PushCondition {
  return { kind: 'event_match', key, pattern }
}

function members(is: string): PushCondition {
  return { kind: 'room_member_count', is }
}
