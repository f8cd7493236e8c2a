import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { accountsMetrics } from '@weft/accounts'
import { registry } from '@weft/api'
import { routerMetrics } from '@weft/app-router'
import { httpMetrics, renderWorkersDoc } from '@weft/http'
import { configJsonSchema, jobMetrics, processMetrics, renderConfigDoc, renderMetricsDoc } from '@weft/kernel'
import { replicationMetrics } from '@weft/replication'
import { roomMetrics } from '@weft/rooms'
import { renderDatabaseDoc, storageMetrics } from '@weft/storage'
import { syncMetrics } from '@weft/sync'

const root = join(import.meta.dirname, '..', '..', '..')

/** The documents that are derived from code: `weft docs` prints them, `pnpm generate` writes them, CI compares. */
export const documents: ReadonlyArray<{ readonly name: string; readonly file: string; render(): Promise<string> | string }> = [
  { name: 'workers', file: 'docs/workers.md', render: () => renderWorkersDoc(registry) },
  { name: 'configuration', file: 'docs/configuration.md', render: () => renderConfigDoc() },
  { name: 'config-schema', file: 'docs/homeserver.schema.json', render: () => JSON.stringify(configJsonSchema(), undefined, 2) },
  {
    name: 'metrics',
    file: 'docs/metrics.md',
    render: () =>
      renderMetricsDoc([
        { title: 'Every process', definitions: processMetrics },
        { title: 'HTTP', definitions: httpMetrics },
        { title: 'PostgreSQL', definitions: storageMetrics },
        { title: 'Replication', definitions: replicationMetrics },
        { title: 'Router', definitions: routerMetrics },
        { title: 'Writer', definitions: roomMetrics },
        { title: 'Accounts', definitions: accountsMetrics },
        { title: 'Jobs', definitions: jobMetrics },
        { title: 'Sync', definitions: syncMetrics },
      ]),
  },
  {
    name: 'database',
    file: 'docs/database.md',
    render: async () => renderDatabaseDoc(await readFile(join(root, 'prisma', 'schema.prisma'), 'utf8')),
  },
]
