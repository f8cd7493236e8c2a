import { z } from 'zod'
import { configSchema } from './schema.ts'

/** A setting as JSON Schema tells it; what the documents are made of. */
export interface SettingSchema {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly examples?: readonly unknown[]
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly anyOf?: readonly SettingSchema[]
  readonly properties?: Readonly<Record<string, SettingSchema>>
  readonly required?: readonly string[]
  readonly items?: SettingSchema
}

/** JSON Schema of homeserver.yaml as it is written, for editors and for checking charts. Synapse's other keys are not in it. */
export function configJsonSchema(): SettingSchema & { readonly [key: string]: unknown } {
  const schema = z.toJSONSchema(configSchema, { io: 'input', unrepresentable: 'any' })
  return { title: 'homeserver.yaml of Weft', ...schema } as SettingSchema & { readonly [key: string]: unknown }
}
