import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from '@jest/globals'
import { ConfigError, parseConfigText } from '@weft/kernel'
import { startCluster } from '../cluster/cluster.ts'

const root = join(import.meta.dirname, '..', '..')
const documents = [
  'README.md',
  'CHANGELOG.md',
  ...readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name))
    .sort(),
].map((file) => ({ file, text: readFileSync(join(root, file), 'utf8') }))

/** A fenced block with the words behind its fence: `sh first-conversation`. */
function blocksOf(text: string): { readonly info: string; readonly code: string }[] {
  return [...text.matchAll(/^( *)```(.*)\n([\s\S]*?)^\1```$/gm)].map(([, indent, info, code]) => ({
    info: info as string,
    code: (code as string).replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
  }))
}

/** What stands between the blocks. */
function proseOf(text: string): string {
  return text.replaceAll(/^( *)```.*\n[\s\S]*?^\1```$/gm, '')
}

function inlineCodeOf(text: string): string[] {
  return [...proseOf(text).matchAll(/`([^`\n]+)`/g)].map(([, code]) => code as string)
}

/** The anchors of a document's headings, as GitHub makes them. */
function anchorsOf(text: string): Set<string> {
  const headings = [...proseOf(text).matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading as string)
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}_ -]/gu, '')
        .replaceAll(' ', '-'),
    ),
  )
}

/** `file: what` for each of `found` in a document that is none of `known`. */
function unknown(find: (text: string) => readonly string[], isKnown: (what: string) => boolean): string[] {
  return documents.flatMap(({ file, text }) =>
    find(text)
      .filter((what) => !isKnown(what))
      .map((what) => `${file}: ${what}`),
  )
}

describe('the documents', () => {
  test('link to what is there', () => {
    const broken = documents.flatMap(({ file, text }) =>
      [...proseOf(text).matchAll(/\]\(([^)\s]+)\)/g)]
        .map(([, target]) => target as string)
        .filter((target) => !/^(https?|mailto):/.test(target))
        .filter((target) => {
          const [path = '', anchor] = target.split('#')
          const to = path === '' ? join(root, file) : join(root, dirname(file), path)
          if (!existsSync(to)) return true
          return anchor !== undefined && !anchorsOf(readFileSync(to, 'utf8')).has(anchor)
        })
        .map((target) => `${file}: ${target}`),
    )
    expect(broken).toEqual([])
  })

  test('name files and folders of the source that are there', () => {
    const path = /^(apps|packages|docs|tests|tooling|prisma|deploy)\/[\w@./-]+$/
    expect(
      unknown(
        (text) => inlineCodeOf(text).filter((code) => path.test(code)),
        (code) => existsSync(join(root, code)),
      ),
    ).toEqual([])
  })

  test('name commands and scripts that are there', () => {
    const help = execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', join(root, 'apps/weft/src/main.ts'), '--help'])
    const commands = new Set([...help.toString().matchAll(/^ {2}([a-z-]+) /gm)].map(([, name]) => name as string))
    expect(commands.size).toBeGreaterThan(5)
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> }
    const inCode = (text: string) => [...inlineCodeOf(text), ...blocksOf(text).flatMap(({ code }) => code.split('\n'))]
    const wordsAfter = (pattern: RegExp) => (text: string) =>
      inCode(text).flatMap((line) => [...line.matchAll(pattern)].map(([, word]) => word as string))
    expect(unknown(wordsAfter(/(?:^|-- |run )weft (?:-- )?([a-z][a-z-]*)/g), (word) => commands.has(word))).toEqual([])
    const pnpmsOwn = new Set(['install', 'exec'])
    expect(
      unknown(wordsAfter(/\bpnpm(?:@[\d.]+)?(?: -s)?(?: run)? ([a-z][a-z:-]*)/g), (word) => pnpmsOwn.has(word) || word in scripts),
    ).toEqual([])
    expect(unknown(wordsAfter(/\bnpm (?:run )?([a-z][a-z:-]*)/g), (word) => word === 'registry' || word in scripts)).toEqual([])
  })

  test('name metrics that processes have', () => {
    const known = new Set(
      [...readFileSync(join(root, 'docs/metrics.md'), 'utf8').matchAll(/^\| `(\w+)`/gm)].map(([, name]) => name as string),
    )
    expect(
      unknown(
        (text) => inlineCodeOf(text).flatMap((code) => code.match(/\b(?:weft|nodejs)_[a-z_]+[a-z]\b(?!\.)/g) ?? []),
        (name) => known.has(name.replace(/_(bucket|sum|count)$/, '')),
      ),
    ).toEqual([])
  })

  test('name environment variables that mean a setting', () => {
    const notSettings = new Set(['WEFT_CONFIG', 'WEFT_HOME'])
    const isSetting = (name: string) => {
      const warnings: string[] = []
      try {
        parseConfigText('server_name: example.org', { env: { [name]: '1' }, onWarning: ({ message }) => warnings.push(message) })
      } catch (error) {
        // The value may be refused; the name was understood then.
        if (!(error instanceof ConfigError)) throw error
      }
      return warnings.length === 0
    }
    expect(
      unknown(
        (text) => text.match(/\bWEFT_[A-Z0-9_]*[A-Z0-9]\b/g) ?? [],
        (name) => notSettings.has(name) || isSetting(name),
      ),
    ).toEqual([])
  })

  test('show pieces of homeserver.yaml that are accepted', () => {
    const refused = documents
      .filter(({ file }) => file.startsWith('docs/how-to/'))
      .flatMap(({ file, text }) => blocksOf(text).map((block) => ({ file, ...block })))
      .filter(({ info, code }) => info === 'yaml' && !code.startsWith('# prometheus.yml'))
      .flatMap(({ file, code }) => {
        const problems: string[] = []
        try {
          const text = `server_name: example.org\ninternal_secret: a secret of this test\n${code}`
          parseConfigText(text, { name: file, onWarning: ({ message }) => problems.push(`${file}: ${message}`) })
        } catch (error) {
          if (!(error instanceof ConfigError)) throw error
          problems.push(error.message)
        }
        return problems
      })
    expect(refused).toEqual([])
  })
})

test('the first conversation of the README runs as it is printed', async () => {
  const script = blocksOf(documents[0]!.text)
    .filter(({ info }) => info === 'sh first-conversation')
    .map(({ code }) => code)
    .join('')
  expect(script).toContain('http://127.0.0.1:8008/')
  await using cluster = await startCluster({ layout: 'single' })
  const here = script.replaceAll('http://127.0.0.1:8008', cluster.urls[0] as string).replaceAll(':localhost', `:${cluster.serverName}`)
  // An answer with an error ends it, which people would see for themselves.
  const strict = `set -euo pipefail\ncurl() { command curl --fail-with-body --max-time 30 "$@"; }\n${here}\nprintf '\\n%s' "$room"`
  const { stdout, stderr, status } = spawnSync('bash', ['-c', strict], { encoding: 'utf8' })
  expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
  const [answers = '', room = ''] = stdout.split('\n')
  const sync = JSON.parse(answers.slice(answers.lastIndexOf('{"next_batch"')))
  expect(sync.rooms.join[room].timeline.events.map((event: { content: object }) => event.content)).toEqual([
    { msgtype: 'm.text', body: 'Hello Bob' },
  ])
})
