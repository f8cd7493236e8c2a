/** Which package may import which: the picture of docs/architecture.md, as a table. */

const base = ['kernel', 'matrix']
/** Domains see what is below them and not each other, but for the outbound side of federation. */
const domain = ['replication', 'storage', ...base]

const domains: readonly string[] = ['rooms', 'accounts', 'sync', 'federation', 'media', 'push']

/** Layers of packages/, by folder; what is missing here is refused until somebody decides where it belongs. */
export const packageLayers: Readonly<Record<string, readonly string[]>> = {
  matrix: [],
  kernel: ['matrix'],
  storage: base,
  replication: ['storage', ...base],
  http: base,
  rooms: [...domain, 'federation'],
  accounts: domain,
  sync: domain,
  federation: domain,
  media: [...domain, 'federation'],
  push: domain,
  api: ['http', ...base],
  testkit: ['api', 'http', ...domains, ...domain],
}

/** What a package may name in types only: nothing of it is loaded. */
export const typeOnlyLayers: Readonly<Record<string, readonly string[]>> = { api: domains }

const everyPackage = ['api', 'http', ...domains, ...domain]
/** The router opens no database and no room: replication is where discovery is. */
const router = ['api', 'http', 'replication', ...base]

/** The packages that an app may import. Another app's entry: apps/weft only. */
export function appLayers(app: string): readonly string[] {
  return app === 'router' ? router : everyPackage
}

export const composingApp = 'weft'

/** packages/matrix runs anywhere: no clock, no file, no network. */
export const matrixBuiltins: readonly string[] = ['node:crypto']
