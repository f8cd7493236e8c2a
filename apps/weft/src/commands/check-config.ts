import { formatProblem, loadConfig } from '@weft/kernel'
import { say } from '../say.ts'

/** `weft check-config` */
export async function checkConfig(options: { readonly config?: string }): Promise<void> {
  const path = options.config ?? process.env.WEFT_CONFIG ?? 'homeserver.yaml'
  const warnings: string[] = []
  loadConfig({ path, env: process.env, requires: [], onWarning: (warning) => warnings.push(formatProblem(warning)) })
  for (const warning of warnings) say(`warning: ${warning}`)
  say(`${path} is fine.`)
}
