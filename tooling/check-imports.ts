import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { dirname, join, relative, resolve } from 'node:path'
import { appLayers, composingApp, matrixBuiltins, packageLayers, typeOnlyLayers } from './import-rules.ts'
import { type FoundImport, importsOf } from './import-scanner.ts'

export interface Violation {
  readonly file: string
  readonly line: number
  readonly rule: string
}

interface Manifest {
  readonly name: string
  readonly exports?: Readonly<Record<string, string>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly devDependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly peerDependencies?: Readonly<Record<string, string>>
}

/** A folder with a package.json under apps/ or packages/, or one of the workspace's own folders, which the root's covers. */
interface Member {
  readonly kind: 'app' | 'package' | 'tests' | 'tooling'
  /** `rooms` for packages/rooms. */
  readonly name: string
  /** Relative to the root, as every path here. */
  readonly folder: string
  readonly manifest: Manifest
}

/** Every import in the workspace that goes the wrong way, and every dependency that is not as package.json says. */
export function checkImports(root: string): Violation[] {
  const rootManifest = readManifest(join(root, 'package.json'))
  const members = membersOf(root, rootManifest)
  const byPackageName = new Map(
    members.filter(({ kind }) => kind === 'app' || kind === 'package').map((member) => [member.manifest.name, member]),
  )
  const violations: Violation[] = []
  for (const member of members) {
    const used = new Set<string>()
    for (const file of sourceFiles(join(root, member.folder))) {
      const path = relative(root, file)
      const inSource = path.startsWith(`${member.folder}/src/`)
      for (const found of importsOf(readFileSync(file, 'utf8'))) {
        if (inSource) used.add(packageOf(found.specifier))
        const rule = brokenRule({ found, path, inSource, member, byPackageName, rootManifest })
        if (rule !== undefined) violations.push({ file: path, line: found.line, rule })
      }
    }
    if (member.kind !== 'app' && member.kind !== 'package') continue
    const peers = peersOf(join(root, member.folder), used)
    for (const name of Object.keys(member.manifest.dependencies ?? {})) {
      if (!used.has(name) && !peers.has(name))
        violations.push({ file: `${member.folder}/package.json`, line: 1, rule: `${name} is a dependency, and nothing in src/ imports it` })
    }
  }
  return violations
}

interface Question {
  readonly found: FoundImport
  readonly path: string
  readonly inSource: boolean
  readonly member: Member
  readonly byPackageName: ReadonlyMap<string, Member>
  readonly rootManifest: Manifest
}

function brokenRule(question: Question): string | undefined {
  const { found, member, byPackageName } = question
  if (found.specifier.startsWith('.')) return brokenByRelative(question)
  if (isBuiltin(found.specifier)) return brokenByBuiltin(question)
  const name = packageOf(found.specifier)
  const target = byPackageName.get(name)
  if (target !== undefined) {
    if (target === member && question.inSource) return `${member.folder} imports itself by name: use a relative path`
    const entry = `.${found.specifier.slice(name.length)}`
    if (!Object.hasOwn(target.manifest.exports ?? {}, entry))
      return `${found.specifier} is no entry of ${target.folder}: packages are used through their index`
    const rule = brokenDirection(question, target)
    if (rule !== undefined) return rule
    if (target === member) return undefined
  } else if (member.kind === 'package' && member.name === 'matrix' && question.inSource) {
    return `packages/matrix imports nothing but ${matrixBuiltins.join(', ')}`
  }
  return undeclared(question, name)
}

function brokenByRelative({ found, path, inSource, member }: Question): string | undefined {
  const target = join(dirname(path), found.specifier)
  if (isInside(target, member.folder) || member.kind === 'tooling') return undefined
  // A test stands on its neighbour's rig, and tests/ on the tools that it tests; compositions have no package entry.
  if (!inSource && /^(apps|packages)\/[^/]+\/test\//.test(target)) return undefined
  if (member.kind === 'tests' && (isInside(target, 'tooling') || /^apps\/[^/]+\/src\/(compose|single)\.ts$/.test(target))) return undefined
  return `a relative import leaves ${member.folder}: ${target}`
}

function brokenByBuiltin({ found, member, inSource }: Question): string | undefined {
  if (!found.specifier.startsWith('node:')) return `write node:${found.specifier}`
  if (member.kind !== 'package' || member.name !== 'matrix' || !inSource) return undefined
  return matrixBuiltins.includes(found.specifier) ? undefined : `packages/matrix imports nothing but ${matrixBuiltins.join(', ')}`
}

function brokenDirection({ found, member, inSource }: Question, target: Member): string | undefined {
  if (member.kind === 'tests' || member.kind === 'tooling') return undefined
  if (target.kind === 'app') {
    if (member.kind === 'app' && member.name === composingApp) return undefined
    return target === member
      ? undefined
      : `only apps/${composingApp} and tests/ import an app, and ${member.folder} imports ${target.folder}`
  }
  // A test may compose what its package may not import: rigs stand on real neighbours.
  if (!inSource) return undefined
  const allowed =
    member.kind === 'app' ? appLayers(member.name) : Object.hasOwn(packageLayers, member.name) ? packageLayers[member.name] : undefined
  if (allowed === undefined) return `${member.folder} has no layer: add it to tooling/import-rules.ts and docs/architecture.md`
  if (allowed.includes(target.name)) return undefined
  if (Object.hasOwn(typeOnlyLayers, member.name) && typeOnlyLayers[member.name]!.includes(target.name)) {
    return found.typeOnly ? undefined : `${member.folder} imports ${target.folder} by \`import type\` only`
  }
  return `${member.folder} must not import ${target.folder}: imports point downwards (it may: ${allowed.join(', ') || 'nothing'})`
}

function undeclared({ path, inSource, member, rootManifest }: Question, name: string): string | undefined {
  const { dependencies, optionalDependencies, devDependencies } = member.manifest
  if ([dependencies, optionalDependencies].some((of) => Object.hasOwn(of ?? {}, name))) return undefined
  if (inSource) return `${name} is not in the dependencies of ${member.folder}/package.json`
  // Tests find what the root has, as Node looks upwards from them.
  const known = [devDependencies, rootManifest.dependencies, rootManifest.devDependencies].some((of) => Object.hasOwn(of ?? {}, name))
  return known ? undefined : `${name} is in no package.json that ${path} sees`
}

function membersOf(root: string, rootManifest: Manifest): Member[] {
  const members: Member[] = []
  for (const [parent, kind] of [
    ['apps', 'app'],
    ['packages', 'package'],
  ] as const) {
    if (!existsSync(join(root, parent))) continue
    for (const name of readdirSync(join(root, parent)).sort()) {
      const manifest = join(root, parent, name, 'package.json')
      if (existsSync(manifest)) members.push({ kind, name, folder: `${parent}/${name}`, manifest: readManifest(manifest) })
    }
  }
  for (const kind of ['tests', 'tooling'] as const) {
    if (existsSync(join(root, kind))) members.push({ kind, name: kind, folder: kind, manifest: rootManifest })
  }
  return members
}

/** What the packages in use want beside them, such as bullmq its Redis client. */
function peersOf(folder: string, used: ReadonlySet<string>): Set<string> {
  const peers = new Set<string>()
  for (const name of used) {
    const manifest = join(folder, 'node_modules', name, 'package.json')
    if (!existsSync(manifest)) continue
    for (const peer of Object.keys(readManifest(manifest).peerDependencies ?? {})) peers.add(peer)
  }
  return peers
}

function readManifest(path: string): Manifest {
  return JSON.parse(readFileSync(path, 'utf8')) as Manifest
}

function* sourceFiles(folder: string): Generator<string> {
  for (const name of readdirSync(folder).sort()) {
    if (name === 'node_modules' || name === 'generated' || name.startsWith('.')) continue
    const path = join(folder, name)
    if (statSync(path).isDirectory()) yield* sourceFiles(path)
    else if (/\.(ts|mts|mjs|js)$/.test(name)) yield path
  }
}

/** `@weft/http` of `@weft/http/malformed`, `zod` of `zod/mini`. */
function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

function isInside(path: string, folder: string): boolean {
  return path.startsWith(`${folder}/`)
}

if (import.meta.main) {
  const violations = checkImports(resolve(import.meta.dirname, '..'))
  for (const { file, line, rule } of violations) process.stdout.write(`${file}:${line}  ${rule}\n`)
  if (violations.length > 0) {
    process.stdout.write(`${violations.length} imports or dependencies are not as they should be.\n`)
    process.exitCode = 1
  }
}
