import type { AnyEndpoint, Method } from './endpoint.ts'
import { expandPaths, type PathTemplate, parseTemplate, templateShape } from './path.ts'

/**
 * No parameter of the API is longer than 255 bytes, and endpoints with an errcode of their own for that check it themselves.
 * This bound keeps any parameter below what a PostgreSQL index entry holds (2,704 bytes), whatever an endpoint forgets.
 */
export const MAX_PARAM_BYTES = 1024

/** What a method and a path mean. */
export type PathMatch =
  | { readonly kind: 'found'; readonly endpoint: AnyEndpoint; readonly params: Readonly<Record<string, string>> }
  /** Nothing answers on this path: 404. */
  | { readonly kind: 'unknownPath' }
  /** The path is known, the method is not: 405. */
  | { readonly kind: 'wrongMethod'; readonly allow: readonly Method[] }
  /** A parameter is no percent-encoded UTF-8, contains NUL, or is far too long: 400. */
  | { readonly kind: 'badParameter'; readonly endpoint: AnyEndpoint; readonly parameter: string; readonly reason: string }

interface Leaf {
  readonly endpoint: AnyEndpoint
  /** By position in the path; undefined for a literal. */
  readonly names: readonly (string | undefined)[]
  /** The optional last parameter that this leaf stands without. */
  readonly absent: string | undefined
}

class Node {
  readonly literals = new Map<string, Node>()
  param: Node | undefined
  readonly leaves = new Map<Method, Leaf>()
  /** Methods of the leaves that match with a slash after the last segment too. */
  readonly slashMethods = new Set<Method>()
}

const UNKNOWN_PATH: PathMatch = { kind: 'unknownPath' }

/**
 * Finds the endpoint of a request. Anchored at both ends, a literal segment before a parameter, and the raw path is split before
 * its segments are decoded, so `%2F` inside a parameter is data and never a separator (R33). Empty segments, `.` and `..` match
 * nothing. The same trie serves the router and the processes behind it.
 */
export class Matcher {
  readonly #root = new Node()

  constructor(endpoints: Iterable<AnyEndpoint>) {
    for (const endpoint of endpoints) {
      for (const path of expandPaths(endpoint.path, endpoint.aliases)) this.#add(endpoint, parseTemplate(path))
    }
  }

  /**
   * @param method of the request; HEAD is answered where GET is
   * @param path as it stood in the request line, without query
   */
  match(method: string, path: string): PathMatch {
    if (path.charCodeAt(0) !== 0x2f) return UNKNOWN_PATH
    const search: Search = { method: (method === 'HEAD' ? 'GET' : method) as Method, segments: path.split('/'), allow: undefined }
    const leaf = find(this.#root, 1, search)
    if (leaf !== undefined) return bind(leaf, search.segments)
    return search.allow === undefined ? UNKNOWN_PATH : { kind: 'wrongMethod', allow: [...search.allow] }
  }

  #add(endpoint: AnyEndpoint, template: PathTemplate): void {
    let node = this.#root
    const names: (string | undefined)[] = []
    for (const segment of template.segments) {
      if ('literal' in segment) {
        node = childOf(node, segment.literal)
        names.push(undefined)
        continue
      }
      if (segment.optional) this.#leaf(node, { endpoint, names: [...names], absent: segment.param }, template, true)
      node.param ??= new Node()
      node = node.param
      names.push(segment.param)
    }
    this.#leaf(node, { endpoint, names, absent: undefined }, template, template.trailingSlash)
  }

  #leaf(node: Node, leaf: Leaf, template: PathTemplate, slash: boolean): void {
    const method: Method = leaf.endpoint.method
    const other = node.leaves.get(method)
    if (other !== undefined) {
      throw new Error(`${leaf.endpoint.id} and ${other.endpoint.id} both answer ${method} ${templateShape(template)}`)
    }
    node.leaves.set(method, leaf)
    if (slash) node.slashMethods.add(method)
  }
}

interface Search {
  readonly method: Method
  /** The first is empty: a path starts with a slash. */
  readonly segments: readonly string[]
  allow: Set<Method> | undefined
}

function find(node: Node, at: number, search: Search): Leaf | undefined {
  const { segments } = search
  if (at === segments.length) return leafOf(node, search, false)
  const segment = segments[at] as string
  if (segment === '') return at === segments.length - 1 && at > 1 ? leafOf(node, search, true) : undefined
  const literal = node.literals.get(segment)
  if (literal !== undefined) {
    const leaf = find(literal, at + 1, search)
    if (leaf !== undefined) return leaf
  }
  if (node.param === undefined || segment === '.' || segment === '..') return undefined
  return find(node.param, at + 1, search)
}

function leafOf(node: Node, search: Search, slash: boolean): Leaf | undefined {
  const leaf = node.leaves.get(search.method)
  if (leaf !== undefined && (!slash || node.slashMethods.has(search.method))) return leaf
  for (const method of slash ? node.slashMethods : node.leaves.keys()) {
    search.allow ??= new Set()
    search.allow.add(method)
  }
  return undefined
}

function bind(leaf: Leaf, segments: readonly string[]): PathMatch {
  const params: Record<string, string> = {}
  for (let i = 0; i < leaf.names.length; i++) {
    const name = leaf.names[i]
    if (name === undefined) continue
    const raw = segments[i + 1] as string
    const value = decodeSegment(raw)
    if (value === undefined) return badParameter(leaf, name, 'is not percent-encoded UTF-8')
    if (value.includes('\0')) return badParameter(leaf, name, 'contains NUL')
    if (value.length > MAX_PARAM_BYTES / 4 && Buffer.byteLength(value) > MAX_PARAM_BYTES) return badParameter(leaf, name, 'is too long')
    params[name] = value
  }
  if (leaf.absent !== undefined) params[leaf.absent] = ''
  return { kind: 'found', endpoint: leaf.endpoint, params }
}

function badParameter(leaf: Leaf, parameter: string, reason: string): PathMatch {
  return { kind: 'badParameter', endpoint: leaf.endpoint, parameter, reason }
}

const NON_ASCII = /[^\x21-\x7e]/

/** Decodes one raw segment; undefined when it is malformed. */
function decodeSegment(raw: string): string | undefined {
  if (NON_ASCII.test(raw)) return undefined
  if (!raw.includes('%')) return raw
  try {
    return decodeURIComponent(raw)
  } catch (error) {
    if (error instanceof URIError) return undefined
    throw error
  }
}

function childOf(node: Node, literal: string): Node {
  let child = node.literals.get(literal)
  if (child === undefined) {
    child = new Node()
    node.literals.set(literal, child)
  }
  return child
}
