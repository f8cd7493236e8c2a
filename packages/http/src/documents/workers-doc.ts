import type { AnyEndpoint, ServingClass } from '../endpoint.ts'
import type { Registry } from '../registry.ts'
import { compareText, servingClassesOf } from './routes.ts'

const classNotes: Readonly<Record<ServingClass, string>> = {
  writer: 'Everything that writes to rooms and accounts. One is active, any number stand by.',
  sync: 'Follows the replication stream and answers from it. Scale it by its number of replicas.',
  media: 'Uploads, downloads and thumbnails.',
}

/** docs/workers.md: which process class answers what, how requests are placed and limited. */
export function renderWorkersDoc(registry: Registry): string {
  const sections = servingClassesOf(registry).map((name) => renderClass(registry, name))
  return `${intro}\n${sections.join('\n')}`
}

const intro = `# Process classes and their endpoints

Generated from the registry of endpoints (\`pnpm generate\`); do not edit.

The router sends a request to an instance of a class that serves its endpoint. *Placed by* says how it picks the instance: requests with
the same room or the same user go to the same one, as long as the set of instances stays as it is. It decides what is in whose cache,
never what is true. *Limit* names the \`rc_*\` class whose bucket a request takes from; all processes share the buckets. Every endpoint
answers OPTIONS, and HEAD where it answers GET.
`

function renderClass(registry: Registry, name: ServingClass): string {
  const endpoints = registry.servedBy(name).sort((a, b) => compareText(a.path, b.path) || compareText(a.method, b.method))
  const rows = endpoints.map((endpoint) => `| ${cellsOf(endpoint, name).join(' | ')} |`)
  return [
    `## ${name}`,
    '',
    `${classNotes[name]} ${endpoints.length} endpoints.`,
    '',
    '| Method | Path | Also | Endpoint | Access token | Placed by | Limit | Also served by |',
    '|---|---|---|---|---|---|---|---|',
    ...rows,
    '',
  ].join('\n')
}

function cellsOf(endpoint: AnyEndpoint, name: ServingClass): string[] {
  const others = (endpoint.servedBy as readonly ServingClass[]).filter((other) => other !== name)
  return [
    endpoint.method,
    `\`${endpoint.path}\``,
    (endpoint.aliases ?? []).map((alias: string) => `\`${alias}\``).join(', '),
    endpoint.id,
    { none: 'no', accessToken: 'yes', optionalAccessToken: 'optional' }[endpoint.auth as 'none' | 'accessToken' | 'optionalAccessToken'],
    { roomId: 'room', user: 'user', none: '' }[endpoint.affinity as 'roomId' | 'user' | 'none'],
    endpoint.rateLimit ?? '',
    others.join(', '),
  ]
}
