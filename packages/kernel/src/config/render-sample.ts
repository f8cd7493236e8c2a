import { configJsonSchema, type SettingSchema } from './json-schema.ts'
import { configGroups, configSchema } from './schema.ts'
import { exampleFor } from './schema-walk.ts'
import { comment, sectionOf, settingText, shownValue } from './yaml-text.ts'

/** What stands in the sample without a comment sign. */
export interface SampleOptions {
  readonly serverName: string
  /** Settings to give, by top-level key: secrets, the database, listeners. All others stand there as comments. */
  readonly values?: Readonly<Record<string, unknown>>
}

/**
 * homeserver.yaml for a server that others reach: registration closed, Synapse's limits, loopback behind a reverse proxy. Every setting
 * stands in it with its meaning; what is commented out shows the default, or an example.
 */
export function renderSampleConfig({ serverName, values = {} }: SampleOptions): string {
  const given: Record<string, unknown> = {
    server_name: serverName,
    listeners: [{ port: 8008, bind_addresses: ['127.0.0.1', '::1'], type: 'http', x_forwarded: true }],
    ...values,
  }
  const properties = configJsonSchema().properties ?? {}
  const lines = [
    comment(
      'The configuration of Weft, with the key names of Synapse. A line that begins with # and a key shows the default, or an example.',
    ),
    comment('docs/configuration.md is the manual; `weft check-config` checks this file.'),
    '',
  ]
  for (const { title, about, settings } of configGroups) {
    lines.push(`## ${title}`, '##', about.replaceAll(/(.{1,97})(?: |$)/g, '## $1\n').trimEnd(), '')
    for (const key of Object.keys(settings)) lines.push(...setting(key, properties[key] ?? {}, given), '')
  }
  return `${lines.join('\n').trimEnd()}\n`
}

function setting(key: string, schema: SettingSchema, given: Readonly<Record<string, unknown>>): string[] {
  const lines = schema.description === undefined ? [] : [comment(schema.description)]
  if (Object.hasOwn(given, key)) return [...lines, settingText(key, given[key])]
  const shown = sectionOf(schema)
    ? (exampleFor(configSchema.shape[key as keyof typeof configSchema.shape]) ?? shownValue(schema))
    : shownValue(schema)
  const text = shown === undefined ? `${key}:` : settingText(key, shown)
  return [...lines, text.replaceAll(/^/gm, '#')]
}
