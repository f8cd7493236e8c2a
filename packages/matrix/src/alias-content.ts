import { isRoomAlias } from './ids.ts'
import { type JsonObject, own } from './json.ts'
import { type Rejection, reject } from './verdict.ts'

/**
 * Checks the aliases in the content of an `m.room.canonical_alias` event that a client sends; to it, a refusal is an
 * M_INVALID_PARAM. Whether they lead to the room is the caller's question (M_BAD_ALIAS).
 *
 * Spec: client-server API, "m.room.canonical_alias", and PUT /rooms/{roomId}/state/{eventType}/{stateKey}.
 * @returns the canonical alias and the others; an empty or absent alias is none
 */
export function checkAliasContent(
  content: JsonObject,
): { readonly ok: true; readonly alias: string | undefined; readonly altAliases: readonly string[] } | Rejection {
  const alias = own(content, 'alias') ?? ''
  if (typeof alias !== 'string' || (alias !== '' && !isRoomAlias(alias))) return reject('alias.alias', 'alias is no room alias')
  const altAliases = own(content, 'alt_aliases') ?? []
  if (!Array.isArray(altAliases) || !altAliases.every((item) => typeof item === 'string' && isRoomAlias(item))) {
    return reject('alias.alt_aliases', 'alt_aliases is no list of room aliases')
  }
  return { ok: true, alias: alias === '' ? undefined : alias, altAliases: altAliases as string[] }
}
