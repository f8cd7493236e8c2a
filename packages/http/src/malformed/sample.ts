import { z } from 'zod'

/** The part of JSON Schema that samples are made from. */
export interface Shape {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Shape>>
  readonly required?: readonly string[]
  readonly items?: Shape
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly default?: unknown
  readonly anyOf?: readonly Shape[]
  readonly minimum?: number
  readonly minLength?: number
}

/** What a schema says of its input. */
export function shapeOf(schema: z.ZodType): Shape {
  return z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Shape
}

/** A small value of this shape. What no shape can say (a pattern, a refinement) it may miss. */
export function sampleOf(shape: Shape): unknown {
  if (shape.const !== undefined) return shape.const
  if (shape.enum !== undefined) return shape.enum[0]
  if (shape.anyOf?.[0] !== undefined) return sampleOf(shape.anyOf[0])
  switch (shape.type) {
    case 'string':
      return 'x'.repeat(Math.max(1, shape.minLength ?? 1))
    case 'integer':
    case 'number':
      return Math.max(0, shape.minimum ?? 0)
    case 'boolean':
      return false
    case 'null':
      return null
    case 'array':
      return []
    default:
      return Object.fromEntries((shape.required ?? []).map((key) => [key, sampleOf(shape.properties?.[key] ?? {})]))
  }
}

/** One value of each JSON type. */
export const valuesOfTypes: ReadonlyMap<string, unknown> = new Map<string, unknown>([
  ['null', null],
  ['boolean', true],
  ['integer', 12],
  ['negative', -1],
  ['huge', 2 ** 53],
  ['number', 1.5],
  ['string', 'malformed'],
  ['empty string', ''],
  ['long string', 'x'.repeat(5000)],
  ['array', [[]]],
  ['object', { constructor: {} }],
])
