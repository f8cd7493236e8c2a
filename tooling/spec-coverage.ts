import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Registry } from '@weft/http'

/** An operation of the client-server API, as spec v1.19 lists it. */
export interface Operation {
  readonly method: string
  readonly path: string
  readonly id: string
  readonly deprecated: boolean
}

export interface Coverage {
  readonly served: readonly Operation[]
  readonly missing: readonly Operation[]
  /** Endpoints of the registry that no operation of the spec is. */
  readonly extra: readonly string[]
}

/** The operations of the client-server API: method, path, operation id and `deprecated`, taken from the spec's OpenAPI files. */
export function clientServerOperations(): Operation[] {
  const text = readFileSync(join(import.meta.dirname, '..', 'tests', 'spec-coverage', 'client-server.tsv'), 'utf8')
  return text
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [method = '', path = '', id = '', deprecated = ''] = line.split('\t')
      return { method, path, id, deprecated: deprecated !== '' }
    })
}

/** Holds the registry against the spec: paths are the same where they differ in the names of parameters only. */
export function coverageOf(registry: Registry, operations: readonly Operation[]): Coverage {
  const served = new Set<string>()
  const extra: string[] = []
  const known = new Set(operations.map(keyOf))
  for (const endpoint of registry.endpoints) {
    const keys = [endpoint.path, ...(endpoint.aliases ?? []).filter((alias: string) => alias.startsWith('/'))].flatMap((path: string) =>
      spellings(path).map((spelling) => keyOf({ method: endpoint.method, path: spelling })),
    )
    const hits = keys.filter((key) => known.has(key))
    if (hits.length === 0) extra.push(endpoint.id)
    for (const key of hits) served.add(key)
  }
  return {
    served: operations.filter((operation) => served.has(keyOf(operation))),
    missing: operations.filter((operation) => !served.has(keyOf(operation))),
    extra,
  }
}

/** A trailing `{param?}` stands for two paths. */
function spellings(path: string): string[] {
  const optional = /\/?\{[^}]*\?\}$/.exec(path)
  return optional === null ? [path] : [path.replace('?}', '}'), path.slice(0, optional.index), `${path.slice(0, optional.index)}/`]
}

function keyOf({ method, path }: { readonly method: string; readonly path: string }): string {
  return `${method} ${path.replace(/\{[^}]*\}/g, '{}')}`
}

/** docs/spec-coverage.md. */
export function renderCoverage({ served, missing, extra }: Coverage): string {
  const row = ({ method, path, id, deprecated }: Operation) => `| ${method} | \`${path}\` | ${id}${deprecated ? ' (deprecated)' : ''} |`
  const table = (operations: readonly Operation[]) => ['| | path | operation |', '|---|---|---|', ...operations.map(row), '']
  return [
    '# Operations of the client-server API',
    '',
    '<!-- Derived from the registry of endpoints by `pnpm generate`. -->',
    '',
    `Of the ${served.length + missing.length} operations of spec v1.19, ${served.length} are served. Any other path is answered 404 \`M_UNRECOGNIZED\`.`,
    '',
    '## Served',
    '',
    ...table(served),
    '## Not served yet',
    '',
    ...table(missing),
    '## Not in the spec',
    '',
    'For administrators, as Synapse has them:',
    '',
    ...extra.map((id) => `- ${id}`),
  ].join('\n')
}
