import type { z } from 'zod'
import type { ConfigProblem } from './error.ts'
import { configSchema } from './schema.ts'
import { exampleFor, inputForms, schemaAt, settingsOf } from './schema-walk.ts'
import { type ConfigSource, formatPath, type Path, valueAt } from './source.ts'
import { nearestName } from './suggest.ts'

type Issue = z.core.$ZodIssue

/** Says what zod found in the words of the file. */
export function problemsFrom(error: z.ZodError, source: ConfigSource): ConfigProblem[] {
  return error.issues.flatMap((issue) => translate(issue, [], source))
}

function translate(issue: Issue, prefix: Path, source: ConfigSource): ConfigProblem[] {
  const path: Path = [...prefix, ...issue.path.map((part) => (typeof part === 'number' ? part : String(part)))]
  if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey([...path, key], source))
  if (issue.code === 'invalid_union') {
    // Of the forms a setting may have, the one that got furthest is meant; none did when the value has another type altogether.
    const furthest = issue.errors.find((issues) =>
      issues.every((inner) => inner.path.length > 0 || !(inner.code === 'invalid_type' || inner.code === 'invalid_value')),
    )
    if (furthest) return furthest.flatMap((inner) => translate(inner, path, source))
    return [
      source.problem(
        path,
        `is ${describe(valueAt(source.values, path))}, not ${expectedForms(path)}`,
        `correct it: see \`${manualName(path)}\` in docs/configuration.md`,
      ),
    ]
  }
  const value = valueAt(source.values, path)
  if (issue.code === 'invalid_type' && value === undefined)
    return [source.problem(path, 'is missing', `set \`${formatPath(path)}\`${exampleOf(path)}`)]
  if (issue.code === 'invalid_type')
    return [
      source.problem(
        path,
        `is ${describe(value)}, not ${expectedForms(path)}`,
        `correct it: see \`${manualName(path)}\` in docs/configuration.md`,
      ),
    ]
  return [source.problem(path, issue.message, `correct it${exampleOf(path)}: see \`${manualName(path)}\` in docs/configuration.md`)]
}

function unknownKey(path: Path, source: ConfigSource): ConfigProblem {
  const section = path.slice(0, -1)
  const known = Object.keys(settingsOf(schemaAt(configSchema, section) ?? configSchema) ?? {})
  const near = nearestName(String(path.at(-1)), known)
  return source.problem(
    path,
    'is no setting',
    near === undefined ? `take it away: \`${formatPath(section)}\` has ${known.join(', ')}` : `did you mean ${near}?`,
  )
}

function expectedForms(path: Path): string {
  const schema = schemaAt(configSchema, path)
  if (!schema) return 'what is expected here'
  const names = inputForms(schema).map((form) => {
    const { type, values } = form._zod.def as unknown as { type: string; values?: unknown[] }
    if (type === 'literal') return (values ?? []).map(String).join(' or ')
    return (
      { object: 'a map', array: 'a list', string: 'a text', boolean: 'true or false', int: 'a number', number: 'a number' }[type] ?? type
    )
  })
  return [...new Set(names)].join(' or ')
}

function describe(value: unknown): string {
  if (value === undefined || value === null) return 'empty'
  if (Array.isArray(value)) return 'a list'
  if (typeof value === 'object') return 'a map'
  return typeof value === 'string' ? `the text "${value.slice(0, 40)}"` : String(value)
}

function exampleOf(path: Path): string {
  const schema = schemaAt(configSchema, path)
  const example = schema && exampleFor(schema)
  return example === undefined ? '' : `, such as ${JSON.stringify(example)}`
}

/** The setting's name without indices, as the manual has it. */
function manualName(path: Path): string {
  return formatPath(path.filter((part) => typeof part === 'string'))
}
