import { parse } from 'yaml'
import type { ConfigProblem } from './error.ts'
import { configSchema } from './schema.ts'
import { inputForms, itemsOf, schemaAt, settingsOf } from './schema-walk.ts'
import { type ConfigSource, deleteAt, formatPath, type Path, valueAt } from './source.ts'
import { nearestName } from './suggest.ts'

/** Variables by name, as `process.env` has them. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Variables that begin with WEFT_ and are no settings. */
const OTHER_VARIABLES = new Set(['WEFT_CONFIG'])
/** What Kubernetes gives to every container for each Service: WEFT_ROUTER_SERVICE_HOST, WEFT_ROUTER_PORT_8008_TCP_ADDR and so on. */
const SERVICE_LINK = /_SERVICE_(HOST|PORT)(_|$)|_PORT$|_PORT_\d+_(TCP|UDP)(_|$)/
const DATABASE_CONNECTION = [
  'url',
  'url_path',
  'args.user',
  'args.password',
  'args.password_path',
  'args.dbname',
  'args.database',
  'args.host',
  'args.port',
  'args.sslmode',
  'args.sslrootcert',
  'args.sslcert',
  'args.sslkey',
]
const REDIS_CONNECTION = ['url', 'url_path', 'host', 'port', 'path', 'password', 'password_path', 'dbid', 'use_tls']

/**
 * Lays the environment over what the file says: `DATABASE_URL` and `REDIS_URL`, which hosting platforms give, then `WEFT_<KEY>`, where
 * two underscores step into a section (`WEFT_DATABASE__URL`, `WEFT_LISTENERS__0__PORT`). A value is taken as text where the setting is
 * text, else as YAML. A variable replaces the file's other ways to say the same: the URL the parts, a secret its `_path`.
 * @returns warnings: variables that mean no setting
 */
export function applyEnvironment(source: ConfigSource, env: Environment): ConfigProblem[] {
  const warnings: ConfigProblem[] = []
  if (env.DATABASE_URL) override(source, ['database', 'url'], env.DATABASE_URL, 'DATABASE_URL')
  if (env.REDIS_URL) override(source, ['redis', 'url'], env.REDIS_URL, 'REDIS_URL')
  for (const name of Object.keys(env).sort()) {
    const text = env[name]
    if (text === undefined || !name.startsWith('WEFT_') || OTHER_VARIABLES.has(name)) continue
    const path = pathOf(name)
    const schema = schemaAt(configSchema, path)
    if (schema) override(source, path, valueFrom(text, schema), name)
    else if (!SERVICE_LINK.test(name)) warnings.push(unknownVariable(name))
  }
  return warnings
}

function override(source: ConfigSource, path: Path, value: unknown, variable: string): void {
  const [section, key] = path
  if (section === 'database' && key === 'url') for (const other of DATABASE_CONNECTION) forget(source, ['database', ...other.split('.')])
  if (section === 'redis' && key === 'url') {
    for (const other of REDIS_CONNECTION) forget(source, ['redis', other])
    if (!source.fromEnvironment(['redis', 'enabled'])) source.override(['redis', 'enabled'], true, variable)
  }
  const last = path.at(-1)
  if (typeof last === 'string') {
    const sibling = last.endsWith('_path') ? last.slice(0, -'_path'.length) : `${last}_path`
    forget(source, [...path.slice(0, -1), sibling])
    if (last === 'internal_secret' || last === 'internal_secret_path')
      for (const alias of ['worker_replication_secret', 'worker_replication_secret_path']) forget(source, [alias])
  }
  source.override(path, value, variable)
}

/** Takes away what the file said; what another variable said stays, so that a contradiction is still told. */
function forget(source: ConfigSource, path: Path): void {
  if (valueAt(source.values, path) !== undefined && !source.fromEnvironment(path)) deleteAt(source.values, path)
}

function pathOf(name: string): Path {
  return name
    .slice('WEFT_'.length)
    .toLowerCase()
    .split('__')
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part))
}

function valueFrom(text: string, schema: import('zod').z.ZodType): unknown {
  const forms = inputForms(schema)
  if (forms.some((form) => form.safeParse(text).success)) return text
  let value: unknown
  try {
    value = parse(text)
  } catch {
    // The schema says what it wants instead, and names the variable.
    return text
  }
  const list = itemsOf(schema) !== undefined
  return list && typeof value === 'string' ? value.split(',').map((item) => item.trim()) : value
}

function unknownVariable(name: string): ConfigProblem {
  const near = nearestName(name, variableNames())
  return {
    file: `$${name}`,
    line: undefined,
    column: undefined,
    path: formatPath(pathOf(name)),
    message: 'means no setting and is ignored',
    remedy:
      near === undefined ? 'see docs/configuration.md for the settings; two underscores step into a section' : `did you mean ${near}?`,
  }
}

function variableNames(): string[] {
  return Object.entries(configSchema.shape).flatMap(([key, schema]) => {
    const own = `WEFT_${key.toUpperCase()}`
    return [own, ...Object.keys(settingsOf(schema) ?? {}).map((inner) => `${own}__${inner.toUpperCase()}`)]
  })
}
