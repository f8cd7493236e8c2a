/**
 * Runs nginx and HAProxy with what `weft routes` prints, over two servers that say which class they stand for, and asks them for a path
 * of every kind. Ends with the line that .ci/run counts.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { registry } from '@weft/api'
import { freePort } from '@weft/testkit'

const folder = mkdtempSync(join(tmpdir(), 'weft-proxies-'))
const main = join(import.meta.dirname, '..', '..', 'apps', 'weft', 'src', 'main.ts')
const weft = (...args: string[]) =>
  execFileSync(process.execPath, ['--disable-warning=ExperimentalWarning', main, ...args], { encoding: 'utf8' })

let passed = 0
let failed = 0
function check(what: string, fault: string | undefined): void {
  if (fault === undefined) passed++
  else failed++
  if (fault !== undefined) process.stdout.write(`FAILED ${what}: ${fault}\n`)
}

/** Answers with the name of a class and what it was asked. */
async function standIn(name: string): Promise<number> {
  const server = createServer((incoming, outgoing) => {
    outgoing.setHeader('x-class', name)
    outgoing.setHeader('x-secret', String(incoming.headers['x-weft-internal-secret'] ?? ''))
    outgoing.end(incoming.url)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  server.unref()
  return (server.address() as AddressInfo).port
}

interface Answer {
  readonly class: string | undefined
  readonly secret: string | undefined
  readonly path: string
}

/** One request with the path as it is written, unlike fetch, which would tidy it. */
function ask(port: number, method: string, path: string): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: '127.0.0.1', port, method, path, agent: false, headers: { 'x-weft-internal-secret': 'forged' } },
      (incoming) => {
        let body = ''
        incoming.setEncoding('utf8').on('data', (text: string) => {
          body += text
        })
        incoming.on('end', () =>
          resolve({ class: incoming.headers['x-class'] as string, secret: incoming.headers['x-secret'] as string, path: body }),
        )
      },
    )
    outgoing.once('error', reject)
    outgoing.end()
  })
}

async function answering(port: number, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`)
    const ok = await ask(port, 'GET', '/').then(
      () => true,
      () => false,
    )
    if (ok) return
  }
}

/** A path with parameters that hold what separates and escapes. */
function exampleOf(template: string): string {
  return template.replaceAll(/\{(\w+)\??\}/g, (_, name: string) => (name === 'roomId' ? '!r%2Fm%3Aa.b' : 'x%2Fy%20%2525'))
}

/** Every path of every endpoint, with the class that a plain proxy gives it to. */
const routes = registry.endpoints.flatMap((endpoint) =>
  registry.pathsOf(endpoint).map((path) => ({ method: endpoint.method, path: exampleOf(path), wanted: endpoint.servedBy[0] })),
)

async function run(name: string, program: string, args: string[], port: number): Promise<void> {
  const child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit'] })
  try {
    await answering(port, child)
    for (const { method, path, wanted } of routes) {
      const answer = await ask(port, method, path)
      const fault =
        answer.class !== wanted
          ? `went to ${answer.class}, not to ${wanted}`
          : answer.path !== path
            ? `arrived as ${answer.path}`
            : answer.secret === ''
              ? undefined
              : 'brought a forged internal secret'
      check(`${name} ${method} ${path}`, fault)
    }
    check(`${name}: a path that nobody serves`, (await ask(port, 'GET', '/nothing')).class === 'sync' ? undefined : 'did not go to sync')
  } finally {
    child.kill('SIGTERM')
    await new Promise((resolve) => child.once('exit', resolve))
  }
}

try {
  const [writer, sync] = [await standIn('writer'), await standIn('sync')]
  const placed = (text: string, port: number) =>
    text
      .replaceAll('writer.internal:8008', `127.0.0.1:${writer}`)
      .replaceAll('sync.internal:8008', `127.0.0.1:${sync}`)
      .replaceAll('8448', String(port))

  const nginxPort = await freePort()
  const nginx = join(folder, 'nginx.conf')
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${folder}/${kind};`).join('\n')
  writeFileSync(join(folder, 'weft.conf'), placed(weft('routes', '--format', 'nginx'), nginxPort))
  writeFileSync(
    nginx,
    `daemon off;\npid ${folder}/nginx.pid;\nerror_log stderr warn;\nevents {}\nhttp {\naccess_log off;\n${paths}\ninclude ${folder}/weft.conf;\n}\n`,
  )
  execFileSync('nginx', ['-t', '-q', '-e', 'stderr', '-c', nginx], { stdio: 'inherit' })
  check('nginx -t', undefined)
  await run('nginx', 'nginx', ['-e', 'stderr', '-c', nginx], nginxPort)

  const haproxyPort = await freePort()
  const haproxy = join(folder, 'haproxy.cfg')
  writeFileSync(join(folder, 'weft.map'), weft('routes', '--format', 'haproxy'))
  writeFileSync(
    haproxy,
    placed(weft('routes', '--format', 'haproxy-config'), haproxyPort).replaceAll('/etc/haproxy/weft.map', join(folder, 'weft.map')),
  )
  execFileSync('haproxy', ['-c', '-q', '-f', haproxy], { stdio: 'inherit' })
  check('haproxy -c', undefined)
  await run('haproxy', 'haproxy', ['-f', haproxy], haproxyPort)
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.stdout.write(`${passed} passed, ${failed} failed\n`)
process.exit(failed === 0 ? 0 : 1)
