import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { checkImports } from '../../tooling/check-imports.ts'

let root: string

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'weft-imports-'))
  file('package.json', { name: 'weft', devDependencies: { '@jest/globals': '1' } })
  member('packages/matrix', '@weft/matrix')
  member('packages/kernel', '@weft/kernel', ['@weft/matrix'])
  member('packages/rooms', '@weft/rooms', ['@weft/kernel'])
  file('packages/kernel/src/index.ts', "import '@weft/matrix'")
  file('packages/rooms/src/index.ts', "import '@weft/kernel'")
})

afterEach(() => rmSync(root, { recursive: true }))

test('a workspace whose imports point downwards has no violation', () => {
  file('packages/matrix/src/hash.ts', "import { hash } from 'node:crypto'\nexport * from './ids.ts'")
  expectViolations([])
})

test('an import that points upwards is caught, at its line', () => {
  member('packages/storage', '@weft/storage', ['@weft/rooms'])
  file('packages/storage/src/events.ts', "\nimport type { Room } from '@weft/rooms'")
  expectViolations(['packages/storage/src/events.ts:2  packages/storage must not import packages/rooms'])
})

test('one domain does not import another', () => {
  member('packages/sync', '@weft/sync', ['@weft/rooms'])
  file('packages/sync/src/index.ts', "import '@weft/rooms'")
  expectViolations(['packages/sync/src/index.ts:1  packages/sync must not import packages/rooms'])
})

test('api may name the types of a domain, and load nothing of it', () => {
  member('packages/api', '@weft/api', ['@weft/rooms'])
  file('packages/api/src/services.ts', "import type { Rooms } from '@weft/rooms'")
  expectViolations([])
  file('packages/api/src/send.ts', "import { type Rooms } from '@weft/rooms'")
  expectViolations(['packages/api/src/send.ts:1  packages/api imports packages/rooms by `import type` only'])
})

test('only apps/weft and tests import an app, and that by its entry', () => {
  member('apps/writer', '@weft/app-writer', [], './src/compose.ts')
  member('apps/weft', '@weft/app-weft', ['@weft/app-writer'], './src/compose.ts')
  member('apps/sync', '@weft/app-sync', ['@weft/app-writer'], './src/compose.ts')
  member('packages/testkit', '@weft/testkit', ['@weft/app-writer'])
  for (const folder of ['apps/weft', 'apps/sync', 'packages/testkit']) file(`${folder}/src/one.ts`, "import '@weft/app-writer'")
  file('tests/cluster/a.test.ts', "import '../../apps/writer/src/compose.ts'")
  file('tests/cluster/b.test.ts', "import '../../apps/writer/src/jobs.ts'")
  expectViolations([
    'apps/sync/src/one.ts:1  only apps/weft and tests/ import an app',
    'packages/testkit/src/one.ts:1  only apps/weft and tests/ import an app',
    'tests/cluster/b.test.ts:1  a relative import leaves tests',
  ])
})

test('packages are used through their index, and a relative path stays inside', () => {
  file('packages/rooms/src/a.ts', "import '@weft/kernel/src/clock.ts'\nimport '../../kernel/src/clock.ts'\nimport '@weft/rooms'")
  expectViolations([
    'packages/rooms/src/a.ts:1  @weft/kernel/src/clock.ts is no entry of packages/kernel',
    'packages/rooms/src/a.ts:2  a relative import leaves packages/rooms',
    'packages/rooms/src/a.ts:3  packages/rooms imports itself by name',
  ])
})

test('packages/matrix knows nothing of its surroundings', () => {
  file('packages/matrix/src/a.ts', "import 'node:fs'\nimport 'zod'")
  expectViolations([
    'packages/matrix/src/a.ts:1  packages/matrix imports nothing but node:crypto',
    'packages/matrix/src/a.ts:2  packages/matrix imports nothing but node:crypto',
  ])
})

test('package.json names what src/ imports, no less and no more', () => {
  member('packages/storage', '@weft/storage', ['@weft/kernel', 'pg', 'yaml'])
  file('packages/storage/src/index.ts', "import 'pg'\nimport 'zod'\nimport '@weft/matrix'\nawait import('@weft/kernel')")
  expectViolations([
    'packages/storage/src/index.ts:2  zod is not in the dependencies of packages/storage',
    'packages/storage/src/index.ts:3  @weft/matrix is not in the dependencies of packages/storage',
    'packages/storage/package.json:1  yaml is a dependency, and nothing in src',
  ])
})

test('what a dependency wants beside it counts as used', () => {
  member('packages/storage', '@weft/storage', ['pg-copy', 'pg'])
  file('packages/storage/src/index.ts', "import 'pg-copy'")
  file('packages/storage/node_modules/pg-copy/package.json', { name: 'pg-copy', peerDependencies: { pg: '*' } })
  expectViolations([])
})

test('a test uses the dependencies of the root too, and any package that is declared', () => {
  file('packages/matrix/test/a.test.ts', "import '@jest/globals'\nimport 'left-pad'")
  expectViolations(['packages/matrix/test/a.test.ts:2  left-pad is in no package.json that packages/matrix'])
})

test('a package without a layer is refused, also one named like a property of every object', () => {
  member('packages/constructor', '@weft/constructor', ['@weft/matrix'])
  file('packages/constructor/src/index.ts', "import '@weft/matrix'")
  expectViolations(['packages/constructor/src/index.ts:1  packages/constructor has no layer'])
})

/** Each violation begins as expected here; how it goes on is explanation. */
function expectViolations(expected: readonly string[]): void {
  const found = checkImports(root).map(({ file: path, line, rule }) => `${path}:${line}  ${rule}`)
  expect(found.map((text, at) => (text.startsWith(expected[at] ?? text) ? (expected[at] ?? text) : text))).toEqual(expected)
}

function member(folder: string, name: string, dependencies: readonly string[] = [], entry = './src/index.ts'): void {
  file(`${folder}/package.json`, { name, exports: { '.': entry }, dependencies: Object.fromEntries(dependencies.map((one) => [one, '1'])) })
  file(`${folder}/src/index.ts`, '')
}

function file(path: string, content: string | object): void {
  const full = join(root, path)
  mkdirSync(dirname(full), { recursive: true })
  writeFileSync(full, typeof content === 'string' ? content : JSON.stringify(content))
}
