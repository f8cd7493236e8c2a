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
