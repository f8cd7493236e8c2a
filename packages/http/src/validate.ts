import { isJsonObject, type JsonObject, MatrixError, own, RawNumber } from '@weft/matrix'
import { z } from 'zod'
import { containsNul } from './body.ts'
import type { RawBody } from './endpoint.ts'
import { queryShapeOf } from './registry.ts'

/**
 * Checks a body against its schema. A required key that is missing at the top is M_MISSING_PARAM, a wrong type is M_BAD_JSON, a
 * value of the right type that cannot be is M_INVALID_PARAM, as in Synapse.
 *
 * @throws MatrixError whose message names the place and what was expected there, and never quotes what was sent
 */
export function validateBody<Schema extends z.ZodType>(schema: Schema, body: RawBody): z.output<Schema> {
  // The columns behind these keys are `text`, which has no NUL. Event content comes as a raw body and is stored escaped.
  if (containsNul(body)) throw new MatrixError('M_BAD_JSON', 'The body contains NUL (\\u0000)')
  const number = numberForObject(schema, body.value, [])
  if (number !== undefined) throw new MatrixError('M_BAD_JSON', `${formatPath(number)}: expected object, received number`)
  const result = schema.safeParse(body.value)
  if (result.success) return result.data
  const issue = result.error.issues[0] as z.core.$ZodIssue
  const place = formatPath(issue.path)
  if (isMissing(body.value, issue.path)) {
    throw new MatrixError(issue.path.length === 1 ? 'M_MISSING_PARAM' : 'M_BAD_JSON', `${place} is missing`)
  }
  throw new MatrixError(isTypeIssue(issue) ? 'M_BAD_JSON' : 'M_INVALID_PARAM', `${place}: ${issue.message}`)
}

/** Where a number that JavaScript cannot keep stands for an object: zod takes it for one, without any of its keys. */
function numberForObject(schema: z.core.$ZodType, value: unknown, path: readonly string[]): readonly string[] | undefined {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodNullable || schema instanceof z.ZodDefault) {
    return numberForObject(schema.def.innerType, value, path)
  }
  if (!(schema instanceof z.ZodObject)) return undefined
  if (value instanceof RawNumber) return path
  if (!isJsonObject(value)) return undefined
  for (const key of Object.keys(schema.shape)) {
    const found = numberForObject(schema.shape[key], own(value, key), [...path, key])
    if (found !== undefined) return found
  }
  return undefined
}

function isTypeIssue(issue: z.core.$ZodIssue): boolean {
  return issue.code === 'invalid_type' || issue.code === 'invalid_union' || issue.code === 'unrecognized_keys'
}

function isMissing(value: unknown, path: readonly PropertyKey[]): boolean {
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return false
    value = own(value as JsonObject, String(key))
  }
  return value === undefined
}

function formatPath(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'The body'
  return path.map((key, i) => (typeof key === 'number' ? `[${key}]` : i === 0 ? String(key) : `.${String(key)}`)).join('')
}

/**
 * Makes the reader of an endpoint's query. A key given twice counts once, as its first value, unless its schema is an array.
 * The reader takes what follows the question mark.
 *
 * @throws MatrixError M_INVALID_PARAM, or M_MISSING_PARAM for a required parameter that is not there
 */
export function queryReader<Schema extends z.ZodType>(schema: Schema): (query: string) => z.output<Schema> {
  const shape = queryShapeOf(schema)
  if (shape === undefined) throw new Error('query must be a z.object')
  return (query) => {
    const given: Record<string, string | string[]> = Object.create(null)
    const search = new URLSearchParams(query)
    for (const [name, { many }] of shape) {
      const values = search.getAll(name)
      if (values.length === 0) continue
      if (values.some((value) => value.includes('\0'))) throw new MatrixError('M_INVALID_PARAM', `Query parameter ${name} contains NUL`)
      given[name] = many ? values : (values[0] as string)
    }
    const result = schema.safeParse(given)
    if (result.success) return result.data
    const issue = result.error.issues[0] as z.core.$ZodIssue
    const name = String(issue.path[0] ?? '')
    if (!Object.hasOwn(given, name)) throw new MatrixError('M_MISSING_PARAM', `Query parameter ${name} is missing`)
    throw new MatrixError('M_INVALID_PARAM', `Query parameter ${name}: ${issue.message}`)
  }
}
