/** `pnpm check:settings`: every setting of homeserver.yaml is read by some code. An option that does nothing is worse than none. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { configSchema } from '../packages/kernel/src/config/schema.ts'
import { inputForms, itemsOf, settingsOf } from '../packages/kernel/src/config/schema-walk.ts'

const root = join(import.meta.dirname, '..')

/** A setting, as a path of keys without the indices of lists. */
export type SettingPath = readonly string[]

/**
 * The settings that may be given one way or another. A section is what its settings are, but for a limit, which is a whole that `false`
 * may stand for; what can only have one value is no option.
 */
export function settingPaths(schema: Parameters<typeof settingsOf>[0] = configSchema, path: SettingPath = []): SettingPath[] {
  const forms = inputForms(schema)
  const literal = forms.some((form) => form._zod.def.type === 'literal')
  if (literal) return forms.length === 1 ? [] : [path]
  const items = itemsOf(schema)
  const section = settingsOf(items ?? schema)
  if (section === undefined) return [path]
  return Object.entries(section).flatMap(([key, inner]) => settingPaths(inner, [...path, key]))
}

/**
 * The settings that no text reads. A setting is read where its key is taken from an object (`.key`, or by destructuring) in a text
 * that names the section around it, too, and only taken, not described.
 */
export function unreadSettings(paths: readonly SettingPath[], texts: readonly string[]): SettingPath[] {
  return paths.filter((path) => {
    const [section, key] = [path.at(-2), path.at(-1) as string]
    const taken = new RegExp(`\\.${key}\\b|[{,]\\s*${key}\\b\\s*[,:}=]`)
    return !texts.some((text) => taken.test(text) && (section === undefined || new RegExp(`\\b${section}\\b`).test(text)))
  })
}

/** The sources that may read a setting: all but tests, and the files that define, render and list settings. */
function sources(): string[] {
  const describing = /\/config\/(sections\/(?!stores)|render-|json-schema|synapse-keys|schema\.ts)/
  return ['packages', 'apps'].flatMap((kind) =>
    readdirSync(join(root, kind)).flatMap((name) => {
      const folder = join(root, kind, name, 'src')
      const files = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((file) => join(folder, file))
      return files.filter((file) => file.endsWith('.ts') && !describing.test(file)).map((file) => readFileSync(file, 'utf8'))
    }),
  )
}

if (import.meta.main) {
  const paths = settingPaths()
  const unread = unreadSettings(paths, sources())
  for (const path of unread) process.stderr.write(`${path.join('.')} is a setting that no code reads\n`)
  if (unread.length === 0) process.stdout.write(`${paths.length} settings, each is read\n`)
  process.exit(unread.length === 0 ? 0 : 1)
}
