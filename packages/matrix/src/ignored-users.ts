import { isJsonObject, own, parseJson } from './json.ts'

const NOBODY: ReadonlySet<string> = new Set()

/**
 * Whom an `m.ignored_user_list` ignores; a list of another shape ignores nobody (R30).
 * Spec: client-server API, "Ignoring Users".
 * @param content JSON text, `undefined` where there is no list
 */
export function ignoredUsersOf(content: string | undefined): ReadonlySet<string> {
  if (content === undefined) return NOBODY
  const list = parseJson(content, { maxDepth: 1000, allowLoneSurrogates: true })
  const users = isJsonObject(list) ? own(list, 'ignored_users') : undefined
  return isJsonObject(users) ? new Set(Object.keys(users)) : NOBODY
}

/**
 * Whether an `m.invite_permission_config` turns all invites away; any other value lets them in (R30).
 * Spec: client-server API, "Invite permission".
 * @param content JSON text, `undefined` where there is none
 */
export function blocksInvites(content: string | undefined): boolean {
  if (content === undefined) return false
  const config = parseJson(content, { maxDepth: 1000, allowLoneSurrogates: true })
  return isJsonObject(config) && own(config, 'default_action') === 'block'
}
