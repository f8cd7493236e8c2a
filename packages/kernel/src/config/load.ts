import { dirname, resolve } from 'node:path'
import { applyEnvironment, type Environment } from './environment.ts'
import { ConfigError, type ConfigProblem } from './error.ts'
import { problemsFrom } from './issues.ts'
import { checkOpenRegistration, checkRequirements, type Requirement } from './rules.ts'
import { type Config, configSchema } from './schema.ts'
import { readSecretFiles } from './secrets-from-files.ts'
import { ConfigSource, deleteAt, type Raw } from './source.ts'
import { nearestName } from './suggest.ts'
import { inertSettings, matchPath, refusedSettings } from './synapse-keys.ts'

export interface LoadConfigOptions {
  /** homeserver.yaml; without it the environment must give all there is. */
  readonly path?: string | undefined
  /** Usually `process.env`; nothing of it is taken when left out. */
  readonly env?: Environment
  /** What this process cannot do without; by default the secret that processes show each other. */
  readonly requires?: readonly Requirement[]
  /** Told what is ignored: Synapse's settings that do nothing here, and top-level keys and variables that nobody knows. */
  readonly onWarning?: (warning: ConfigProblem) => void
}

/**
 * Reads homeserver.yaml and the environment.
 * Throws ConfigError with every problem at once, each with its line and remedy.
 */
export function loadConfig(options: LoadConfigOptions): Config {
  const source =
    options.path === undefined
      ? ConfigSource.fromValues('environment (no --config and no $WEFT_CONFIG)', {})
      : ConfigSource.fromFile(options.path)
  return settle(source, options.path === undefined ? process.cwd() : dirname(resolve(options.path)), options)
}

/** The same for values from a program, as tests and tools have them; relative paths count from `baseDir`. */
export function configFrom(values: object, options: Omit<LoadConfigOptions, 'path'> & { readonly baseDir?: string } = {}): Config {
  return settle(ConfigSource.fromValues('values', values as Raw), options.baseDir ?? process.cwd(), { requires: [], ...options })
}

/** The same for YAML text; `name` stands for the file in messages. */
export function parseConfigText(
  text: string,
  options: Omit<LoadConfigOptions, 'path'> & { readonly name?: string; readonly baseDir?: string } = {},
): Config {
  return settle(ConfigSource.fromText(options.name ?? 'homeserver.yaml', text), options.baseDir ?? process.cwd(), options)
}

function settle(source: ConfigSource, baseDir: string, options: LoadConfigOptions): Config {
  const warn = options.onWarning ?? (() => undefined)
  const problems: ConfigProblem[] = []
  for (const warning of setAside(source, problems)) warn(warning)
  for (const warning of applyEnvironment(source, options.env ?? {})) warn(warning)
  problems.push(...readSecretFiles(source, baseDir))
  const parsed = configSchema.safeParse(source.values)
  if (!parsed.success) throw failure([...problems, ...problemsFrom(parsed.error, source)])
  const { internal_secret_path, worker_replication_secret, worker_replication_secret_path, registration_shared_secret_path, ...settings } =
    parsed.data
  const config: Config = {
    ...settings,
    data_dir: resolve(baseDir, settings.data_dir),
    signing_key_path: resolve(baseDir, settings.signing_key_path ?? `${settings.server_name.replaceAll(/[:[\]]/g, '_')}.signing.key`),
  }
  problems.push(...checkOpenRegistration(config, source), ...checkRequirements(config, source, options.requires ?? ['internal_secret']))
  if (problems.length > 0) throw failure(problems)
  return freeze(config)
}

/** Takes away what does nothing here, with a warning each, and what nobody knows at the top; settings that would do harm are problems. */
function setAside(source: ConfigSource, problems: ConfigProblem[]): ConfigProblem[] {
  const warnings: ConfigProblem[] = []
  for (const { path: pattern, reason } of inertSettings) {
    for (const path of [...matchPath(source.values, pattern)]) {
      warnings.push(source.problem(path, 'does nothing here', reason))
      deleteAt(source.values, path)
    }
  }
  for (const { path: pattern, message, remedy } of refusedSettings) {
    for (const path of [...matchPath(source.values, pattern)]) {
      problems.push(source.problem(path, message, remedy))
      deleteAt(source.values, path)
    }
  }
  const known = Object.keys(configSchema.shape)
  for (const key of Object.keys(source.values)) {
    if (Object.hasOwn(configSchema.shape, key)) continue
    const near = nearestName(key, known)
    warnings.push(
      source.problem(
        [key],
        'is no setting that this server knows, and is ignored',
        near === undefined ? 'take it away' : `did you mean ${near}?`,
      ),
    )
    deleteAt(source.values, [key])
  }
  return warnings
}

/** In the order of the file; what has no line comes last. */
function failure(problems: readonly ConfigProblem[]): Error {
  const [first, ...rest] = problems.toSorted((a, b) => (a.line ?? Number.MAX_VALUE) - (b.line ?? Number.MAX_VALUE))
  return first ? new ConfigError([first, ...rest]) : new Error('the configuration is refused without a problem')
}

/** The configuration is shared by all of a process, so nobody may change it. */
function freeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const inner of Object.values(value)) freeze(inner)
  }
  return value
}
