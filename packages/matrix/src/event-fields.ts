import { isJsonObject, type JsonObject, setOwn } from './json.ts'

/** Makes an event of the wanted fields only. */
export type FieldSelector = (event: JsonObject) => JsonObject

interface Wanted {
  /** The whole value is wanted. */
  whole: boolean
  readonly fields: Map<string, Wanted>
}

/**
 * Compiles `event_fields`: paths whose parts are divided by dots, where `\.` is a dot and `\\` a backslash within a name. Paths
 * that an event has not are left out of it. Values are shared with the event, which is not changed.
 *
 * Spec: client-server API, Filter, `event_fields`; appendices, "Dot-separated property paths".
 */
export function compileEventFields(paths: readonly string[]): FieldSelector {
  const root: Wanted = { whole: false, fields: new Map() }
  for (const path of paths) {
    let node = root
    for (const part of splitPath(path)) {
      let next = node.fields.get(part)
      if (next === undefined) {
        next = { whole: false, fields: new Map() }
        node.fields.set(part, next)
      }
      node = next
    }
    node.whole = true
  }
  return (event) => select(event, root)
}

/** The names in a path. Other escapes than `\.` and `\\` stay as they are. Spec: appendices, "Dot-separated property paths". */
export function splitPath(path: string): string[] {
  const parts: string[] = []
  let part = ''
  for (let i = 0; i < path.length; i++) {
    const char = path.charAt(i)
    if (char === '.') {
      parts.push(part)
      part = ''
    } else if (char === '\\' && (path.charAt(i + 1) === '.' || path.charAt(i + 1) === '\\')) {
      part += path.charAt(++i)
    } else {
      part += char
    }
  }
  parts.push(part)
  return parts
}

/** Costs as many looks as the object has keys, or as are wanted where those are fewer: a filter may name 10,000 fields. */
function select(object: JsonObject, wanted: Wanted): JsonObject {
  const kept: JsonObject = {}
  const names = Object.keys(object)
  for (const name of names.length < wanted.fields.size ? names : wanted.fields.keys()) {
    const child = wanted.fields.get(name)
    if (child === undefined || !Object.hasOwn(object, name)) continue
    const value = object[name]
    if (value === undefined) continue
    if (child.whole) setOwn(kept, name, value)
    else if (isJsonObject(value)) {
      const inner = select(value, child)
      if (Object.keys(inner).length > 0) setOwn(kept, name, inner)
    }
  }
  return kept
}
