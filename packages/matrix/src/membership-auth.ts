import type { AuthEventView, AuthResult, AuthStateView, StateEventView } from './auth-view.ts'
import { isJsonObject, type JsonObject, own, ownArray, ownObject, ownString } from './json.ts'
import { type PowerLevels, roomCreators } from './power-levels.ts'
import type { RoomVersion } from './room-version.ts'
import { signatureOf, signingBytes, signingKeyIds } from './signing.ts'
import { makeVerifier } from './signing-key.ts'
import { ALLOWED, reject } from './verdict.ts'

/** The user's membership in a state; `undefined` without a member event, or for one whose value is no string. */
export function membershipOf(state: AuthStateView, userId: string): string | undefined {
  const event = state.get('m.room.member', userId)
  return event && ownString(event.content, 'membership')
}

/** The room's join rule: `invite` without an event, `undefined` for a value that is no string. Spec: client-server API, "m.room.join_rules". */
function joinRuleOf(state: AuthStateView): string | undefined {
  const event = state.get('m.room.join_rules', '')
  return event === undefined ? 'invite' : ownString(event.content, 'join_rule')
}

interface Case {
  readonly version: RoomVersion
  readonly event: AuthEventView
  readonly state: AuthStateView
  readonly create: StateEventView
  readonly levels: PowerLevels
  readonly target: string
  readonly senderMembership: string | undefined
  readonly targetMembership: string | undefined
}

/**
 * The rules for `m.room.member`.
 *
 * Spec: room version 12, rule 5; 6 to 11, rule 4; 1 to 5, rule 5. Names are those of version 12.
 */
export function checkMembership(
  version: RoomVersion,
  event: AuthEventView,
  state: AuthStateView,
  create: StateEventView,
  levels: PowerLevels,
): AuthResult {
  const target = event.stateKey
  const membership = own(event.content, 'membership')
  if (target === undefined || membership === undefined) return reject('auth.5.1', 'a member event has a state key and a membership')
  const senderMembership = membershipOf(state, event.sender)
  const targetMembership = target === event.sender ? senderMembership : membershipOf(state, target)
  const it: Case = { version, event, state, create, levels, target, senderMembership, targetMembership }
  switch (membership) {
    case 'join':
      return checkJoin(it)
    case 'invite':
      return checkInvite(it)
    case 'leave':
      return checkLeave(it)
    case 'ban':
      return checkBan(it)
    case 'knock':
      return version.knock ? checkKnock(it) : reject('auth.5.8', 'this room version has no knocking')
    default:
      return reject('auth.5.8', 'the membership is not known')
  }
}

/** Rule 5.3. */
function checkJoin({ version, event, state, create, levels, target, targetMembership }: Case): AuthResult {
  if (event.prevEvents.length === 1 && event.prevEvents[0] === create.eventId && roomCreator(version, create) === target) return ALLOWED
  if (event.sender !== target) return reject('auth.5.3.2', 'nobody joins for another user')
  if (targetMembership === 'ban') return reject('auth.5.3.3', 'the user is banned')
  const joinRule = joinRuleOf(state)
  const admitted = targetMembership === 'invite' || targetMembership === 'join'
  switch (joinRule) {
    case 'public':
      return ALLOWED
    case 'invite':
      return admitted ? ALLOWED : reject('auth.5.3.4', 'the user is not invited')
    case 'knock':
      if (version.knock) return admitted ? ALLOWED : reject('auth.5.3.4', 'the user is not invited')
      break
    case 'restricted':
      if (version.restrictedJoin) return admitted ? ALLOWED : checkAuthorisedJoin(event, state, levels)
      break
    case 'knock_restricted':
      if (version.knockRestricted) return admitted ? ALLOWED : checkAuthorisedJoin(event, state, levels)
      break
  }
  return reject('auth.5.3.7', 'the join rule does not let the user in')
}

/** Rule 5.3.5.2. That the authorising user's server has signed the event is checked with its signatures. */
function checkAuthorisedJoin(event: AuthEventView, state: AuthStateView, levels: PowerLevels): AuthResult {
  const authoriser = ownString(event.content, 'join_authorised_via_users_server')
  if (authoriser === undefined) return reject('auth.5.3.5.2', 'no user authorises the join')
  if (membershipOf(state, authoriser) !== 'join') return reject('auth.5.3.5.2', 'the user who authorises the join is not in the room')
  return levels.userLevel(authoriser) >= levels.invite ? ALLOWED : reject('auth.5.3.5.2', 'the user who authorises the join may not invite')
}

/** Rule 5.4. */
function checkInvite(it: Case): AuthResult {
  const { event, levels, senderMembership, targetMembership } = it
  if (own(event.content, 'third_party_invite') !== undefined) return checkThirdPartyInvite(it)
  if (senderMembership !== 'join') return reject('auth.5.4.2', 'the sender is not in the room')
  if (targetMembership === 'join' || targetMembership === 'ban') return reject('auth.5.4.3', 'the user is in the room, or banned from it')
  return levels.userLevel(event.sender) >= levels.invite ? ALLOWED : reject('auth.5.4.5', 'the sender may not invite')
}

/** Rule 5.5. */
function checkLeave({ version, event, levels, target, senderMembership, targetMembership }: Case): AuthResult {
  if (event.sender === target) {
    const may = senderMembership === 'invite' || senderMembership === 'join' || (version.knock && senderMembership === 'knock')
    return may ? ALLOWED : reject('auth.5.5.1', 'the user is not in the room, nor invited')
  }
  if (senderMembership !== 'join') return reject('auth.5.5.2', 'the sender is not in the room')
  const senderLevel = levels.userLevel(event.sender)
  if (targetMembership === 'ban' && senderLevel < levels.ban) return reject('auth.5.5.3', 'the sender may not unban')
  if (senderLevel >= levels.kick && levels.userLevel(target) < senderLevel) return ALLOWED
  return reject('auth.5.5.5', 'the sender may not remove the user')
}

/** Rule 5.6. */
function checkBan({ event, levels, target, senderMembership }: Case): AuthResult {
  if (senderMembership !== 'join') return reject('auth.5.6.1', 'the sender is not in the room')
  const senderLevel = levels.userLevel(event.sender)
  if (senderLevel >= levels.ban && levels.userLevel(target) < senderLevel) return ALLOWED
  return reject('auth.5.6.3', 'the sender may not ban the user')
}

/** Rule 5.7. */
function checkKnock({ version, event, state, target, senderMembership }: Case): AuthResult {
  const joinRule = joinRuleOf(state)
  const open = joinRule === 'knock' || (version.knockRestricted && joinRule === 'knock_restricted')
  if (!open) return reject('auth.5.7.1', 'the join rule does not let anybody knock')
  if (event.sender !== target) return reject('auth.5.7.2', 'nobody knocks for another user')
  if (senderMembership === 'ban' || senderMembership === 'invite' || senderMembership === 'join') {
    return reject('auth.5.7.4', 'the user is in the room, invited, or banned')
  }
  return ALLOWED
}

// NOTSPEC: an event has room for hundreds of keys and of signatures, and every pair would cost a verification. Real ones have one
// or two of each.
const MAX_THIRD_PARTY_CHECKS = 256

/** Rule 5.4.1. */
function checkThirdPartyInvite({ event, state, target, targetMembership }: Case): AuthResult {
  if (targetMembership === 'ban') return reject('auth.5.4.1.1', 'the user is banned')
  const invite = own(event.content, 'third_party_invite')
  const signed = isJsonObject(invite) ? ownObject(invite, 'signed') : undefined
  if (signed === undefined) return reject('auth.5.4.1.2', 'the third-party invite is not signed')
  const mxid = own(signed, 'mxid')
  const token = own(signed, 'token')
  if (mxid === undefined || typeof token !== 'string') return reject('auth.5.4.1.3', 'the third-party invite lacks mxid or token')
  if (mxid !== target) return reject('auth.5.4.1.4', 'the third-party invite is for another user')
  const inviteEvent = state.get('m.room.third_party_invite', token)
  if (inviteEvent === undefined) return reject('auth.5.4.1.5', 'the room has no such third-party invite')
  if (inviteEvent.sender !== event.sender) return reject('auth.5.4.1.6', 'the sender did not send the third-party invite')

  const bytes = signingBytes(signed)
  const signatures = signaturesOn(signed)
  let checks = 0
  for (const publicKey of publicKeysOf(inviteEvent.content)) {
    const verifier = makeVerifier(publicKey)
    if (verifier === undefined) continue
    for (const signature of signatures) {
      if (++checks > MAX_THIRD_PARTY_CHECKS) return reject('auth.5.4.1.8', 'the third-party invite has too many signatures')
      if (verifier.verify(bytes, signature)) return ALLOWED
    }
  }
  return reject('auth.5.4.1.8', 'no signature of the third-party invite matches')
}

function signaturesOn(signed: JsonObject): string[] {
  const servers = Object.keys(ownObject(signed, 'signatures') ?? {})
  return servers.flatMap((server) => signingKeyIds(signed, server).flatMap((keyId) => signatureOf(signed, server, keyId) ?? []))
}

function publicKeysOf(content: JsonObject): string[] {
  const single = ownString(content, 'public_key')
  const listed = (ownArray(content, 'public_keys') ?? []).flatMap((entry) =>
    isJsonObject(entry) ? (ownString(entry, 'public_key') ?? []) : [],
  )
  return single === undefined ? listed : [single, ...listed]
}

/** The one whom rule 5.3.1 lets in first; `additional_creators` are not meant by it. */
function roomCreator(version: RoomVersion, create: StateEventView): string | undefined {
  return roomCreators(version, create)[0]
}
