import type { z } from 'zod'
import type { Path } from './source.ts'

/** A schema as zod 4 describes itself; only what is walked here. */
interface Definition {
  readonly type: string
  readonly shape?: Readonly<Record<string, z.ZodType>>
  readonly element?: z.ZodType
  readonly innerType?: z.ZodType
  readonly in?: z.ZodType
  readonly options?: readonly z.ZodType[]
}

/** The forms a setting may be written in: wrappers such as defaults and transforms taken off, unions taken apart. */
export function inputForms(schema: z.ZodType): z.ZodType[] {
  const definition = definitionOf(schema)
  if (definition.innerType) return inputForms(definition.innerType)
  if (definition.type === 'pipe' && definition.in) return inputForms(definition.in)
  if (definition.options) return definition.options.flatMap(inputForms)
  return [schema]
}

/** The settings of a section, if it is one. */
export function settingsOf(schema: z.ZodType): Readonly<Record<string, z.ZodType>> | undefined {
  for (const form of inputForms(schema)) {
    const { shape } = definitionOf(form)
    if (shape) return shape
  }
  return undefined
}

/** The schema of the items, if the setting is a list. */
export function itemsOf(schema: z.ZodType): z.ZodType | undefined {
  for (const form of inputForms(schema)) {
    const { element } = definitionOf(form)
    if (element) return element
  }
  return undefined
}

/** The schema of the setting at a path; undefined where there is none. */
export function schemaAt(root: z.ZodType, path: Path): z.ZodType | undefined {
  let schema: z.ZodType | undefined = root
  for (const part of path) {
    if (!schema) return undefined
    const settings = settingsOf(schema)
    if (settings) schema = typeof part === 'string' && Object.hasOwn(settings, part) ? settings[part] : undefined
    else schema = typeof part === 'number' ? itemsOf(schema) : undefined
  }
  return schema
}

/** An example of the setting as it is written, where it has one. Secrets have none. */
export function exampleFor(schema: z.ZodType): unknown {
  const examples = [schema, ...inputForms(schema)].map((form) => form.meta()?.examples).find(Array.isArray)
  return examples?.[0]
}

function definitionOf(schema: z.ZodType): Definition {
  return schema._zod.def as unknown as Definition
}
