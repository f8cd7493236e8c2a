import type { AnyEndpoint, Method, ServingClass } from '../endpoint.ts'
import { type PathTemplate, parseTemplate } from '../path.ts'
import type { Registry } from '../registry.ts'

/** One way to reach an endpoint: a method and a path. */
export interface Route {
  readonly endpoint: AnyEndpoint
  readonly method: Method
  readonly template: PathTemplate
  /** The class that a plain proxy sends it to: the first that may answer. */
  readonly servingClass: ServingClass
}

/**
 * Every route in the order in which a list of patterns must be tried to decide as the matcher does: where two paths part, the literal
 * comes before the parameter.
 */
export function routesOf(registry: Registry): Route[] {
  const routes = registry.endpoints.flatMap((endpoint) =>
    registry.pathsOf(endpoint).map((path): Route => {
      const servingClass: ServingClass = endpoint.servedBy[0]
      return { endpoint, method: endpoint.method, template: parseTemplate(path), servingClass }
    }),
  )
  return routes.sort((a, b) => compareSpecificity(a.template, b.template) || compareText(a.method, b.method))
}

/** A regular expression, anchored at both ends, for the raw path of a request; the same in PCRE and in JavaScript. */
export function pathPattern(template: PathTemplate): string {
  const parts = template.segments.map((segment) => {
    if ('literal' in segment) return `/${segment.literal.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`
    return segment.optional ? '(?:/[^/]*)?' : '/[^/]+'
  })
  return `${parts.join('')}${template.trailingSlash ? '/?' : ''}`
}

/** Methods that a pattern must match for an endpoint: HEAD is answered where GET is. */
export function methodPattern(method: Method): string {
  return method === 'GET' ? '(?:GET|HEAD)' : method
}

/** The classes that serve something, in a fixed order. */
export function servingClassesOf(registry: Registry): ServingClass[] {
  const order: readonly ServingClass[] = ['writer', 'sync', 'media']
  return order.filter((name) => registry.endpoints.some((endpoint) => endpoint.servedBy.includes(name)))
}

/** Where a plain proxy sends what no pattern matches: any class answers 404 and 405, and sync has the most instances. */
export function fallbackClassOf(registry: Registry): ServingClass {
  const classes = servingClassesOf(registry)
  return classes.includes('sync') ? 'sync' : (classes[0] ?? 'writer')
}

/** The place of the room in the path, counted from 0; undefined for an endpoint that is not placed by room. */
export function roomSegmentOf(route: Route): number | undefined {
  if (route.endpoint.affinity !== 'roomId') return undefined
  const at = route.template.segments.findIndex((segment) => 'param' in segment && /^roomId(OrAlias)?$/.test(segment.param))
  return at === -1 ? undefined : at
}

export function compareText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function compareSpecificity(a: PathTemplate, b: PathTemplate): number {
  for (let i = 0; i < Math.min(a.segments.length, b.segments.length); i++) {
    const left = a.segments[i]
    const right = b.segments[i]
    if (left === undefined || right === undefined) break
    if ('literal' in left !== 'literal' in right) return 'literal' in left ? -1 : 1
    if ('literal' in left && 'literal' in right && left.literal !== right.literal) return compareText(left.literal, right.literal)
  }
  return a.segments.length - b.segments.length || compareText(a.text, b.text)
}
