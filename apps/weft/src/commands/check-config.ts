import { ConfigError, formatProblem, loadConfig, type Requirement } from '@weft/kernel'
import { say } from '../say.ts'
import { configPath } from '../usage.ts'

/** What the file may lack without being wrong, with who would miss it. */
const lacking: readonly (readonly [who: string, what: readonly Requirement[]])[] = [
  ['`weft start`, and the writer, which sign events', ['signing_key']],
  ['`weft run`, the processes of their own', ['database', 'redis']],
]

/** `weft check-config` @throws ConfigError with all that is wrong */
export async function checkConfig(options: { readonly config?: string }): Promise<void> {
  const path = configPath(options.config)
  const load = (requires: readonly Requirement[], onWarning: (text: string) => void = () => undefined) =>
    loadConfig({ path, env: process.env, requires, onWarning: (warning) => onWarning(formatProblem(warning)) })
  const warnings: string[] = []
  const config = load(['internal_secret'], (text) => warnings.push(text))
  for (const warning of warnings) say(`warning: ${warning}`)
  say(`${path ?? 'The environment'} is fine, for the server ${config.server_name}.`)
  for (const [who, what] of lacking) {
    try {
      load(what)
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      say(`\nNot enough for ${who}:\n${error.message}`)
    }
  }
}
