import { registry } from '@weft/api'
import { renderHaproxyConfig, renderHaproxyMap, renderNginxMap, renderRoutesTable } from '@weft/http'
import { UsageError } from '../usage.ts'

const formats: Readonly<Record<string, () => string>> = {
  table: () => renderRoutesTable(registry),
  nginx: () => renderNginxMap(registry),
  haproxy: () => renderHaproxyMap(registry),
  'haproxy-config': () => renderHaproxyConfig(registry),
}

/** `weft routes` */
export async function routes(options: { readonly format: string }): Promise<void> {
  const render = Object.hasOwn(formats, options.format) ? formats[options.format] : undefined
  if (render === undefined) throw new UsageError(`there is no format ${options.format}: ${Object.keys(formats).join(', ')}`)
  process.stdout.write(`${render().trimEnd()}\n`)
}
