import { stringify } from 'yaml'
import type { SettingSchema } from './json-schema.ts'

/** One setting as YAML, without the line end. */
export function settingText(key: string, value: unknown): string {
  return stringify({ [key]: value }, { lineWidth: 0 }).trimEnd()
}

/** A comment, broken at 100 columns. */
export function comment(text: string): string {
  const lines: string[] = []
  let line = '#'
  for (const word of text.split(' ')) {
    if (line.length + word.length > 99) {
      lines.push(line)
      line = '#'
    }
    line += ` ${word}`
  }
  lines.push(line)
  return lines.join('\n')
}

/** What a setting is when nobody gives it, written out in full; an example where it has no default, undefined where it has neither. */
export function shownValue(schema: SettingSchema): unknown {
  const section = sectionOf(schema)
  if (!section) return schema.default ?? schema.examples?.[0]
  const entries = Object.entries(section)
    .map(([key, inner]) => [key, shownValue(inner)] as const)
    .filter(([, value]) => value !== undefined)
  return entries.length === 0 ? undefined : Object.fromEntries(entries)
}

/** The settings of a section, also where the section may be written in another way. */
export function sectionOf(schema: SettingSchema): Readonly<Record<string, SettingSchema>> | undefined {
  return schema.properties ?? schema.anyOf?.find((form) => form.properties)?.properties
}
