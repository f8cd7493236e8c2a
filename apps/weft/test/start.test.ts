import { readFileSync } from 'node:fs'
import { chmod, chown, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { freePort, isRunning, watchdogOf } from '@weft/testkit'
import { parse } from 'yaml'
import { type Ended, endAll, gone, processesOf, temporaryFolder, Weft, weft } from './weft.ts'

interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
}

const asRoot = process.getuid?.() === 0
let folder: ReturnType<typeof temporaryFolder>
let port: number
let base: string
/** The generated file is used as it is, on a port that is free here. */
let env: Record<string, string>

const launch = (args: string[] = []): Weft => new Weft(['start', ...args], { cwd: folder.path, env })
const run = (args: string[], more: Record<string, string> = {}): Promise<Ended> =>
  weft(args, { cwd: folder.path, env: { ...env, ...more } })

async function call(method: string, path: string, body?: object, token?: string): Promise<Answer> {
  const response = await fetch(base + path, {
    method,
    ...(body !== undefined && { body: JSON.stringify(body) }),
    headers: { 'content-type': 'application/json', ...(token !== undefined && { authorization: `Bearer ${token}` }) },
  })
  return { status: response.status, body: (await response.json()) as Record<string, unknown> }
}

const login = (user: string, password: string) =>
  call('POST', '/_matrix/client/v3/login', { type: 'm.login.password', identifier: { type: 'm.id.user', user }, password })

/** The PostgreSQL under the data folder, by its lock file. */
function postgresPid(): number {
  return Number.parseInt(readFileSync(join(folder.path, 'data/postgres/postmaster.pid'), 'utf8'), 10)
}

afterAll(endAll)

async function ofThisMachine(): Promise<void> {
  folder = temporaryFolder()
  port = await freePort()
  base = `http://127.0.0.1:${port}`
  env = { WEFT_LISTENERS__0__PORT: String(port) }
}

describe('the first start', () => {
  let server: Weft
  beforeAll(async () => {
    await ofThisMachine()
    server = launch()
    await server.says(/To stop:/)
  })
  afterAll(async () => {
    await server.stop()
    await folder.remove()
  })

  test('makes a configuration, a key and a database that only their owners can read', async () => {
    expect((await readdir(folder.path)).sort()).toEqual(['data', 'homeserver.yaml'])
    expect((await readdir(join(folder.path, 'data'))).sort()).toEqual(['postgres', 'postgres-socket', 'signing.key'])
    const modes = await Promise.all(
      ['homeserver.yaml', 'data/signing.key', 'data/postgres', 'data/postgres-socket'].map(async (name) => {
        const { mode } = await stat(join(folder.path, name))
        return (mode & 0o777).toString(8)
      }),
    )
    expect(modes).toEqual(['600', '600', '700', '700'])
    expect(await readFile(join(folder.path, 'data/signing.key'), 'utf8')).toMatch(/^ed25519 a_\w+ \S+\n$/)
  })

  test('the configuration is for trying out on loopback, and says so', async () => {
    const text = await readFile(join(folder.path, 'homeserver.yaml'), 'utf8')
    expect(text).toMatch(/^# THIS FILE IS FOR TRYING OUT WEFT ON YOUR OWN MACHINE/)
    const given = parse(text) as Record<string, unknown>
    expect(given).toMatchObject({
      server_name: 'localhost',
      public_baseurl: 'http://127.0.0.1:8008/',
      listeners: [{ port: 8008, bind_addresses: ['127.0.0.1', '::1'], type: 'http' }],
      enable_registration: true,
      rc_message: false,
      rc_login: { address: false, account: false, failed_attempts: false },
    })
    expect(await run(['check-config'])).toMatchObject({ code: 0, err: '' })
  })

  test('says where it answers, how to register, which client to use and how to stop it', () => {
    expect(server.out).toContain(`${join(folder.path, 'homeserver.yaml')} is new: for trying out on this machine`)
    expect(server.out).toContain(`Weft answers at ${base} as localhost.`)
    expect(server.out).toContain('npm run weft -- register-user -u alice')
    expect(server.out).toMatch(/A client: +Element .*, with http:/)
    expect(server.out).toMatch(/To stop: +Ctrl-C/)
  })

  test('registration works as it is printed: in one request, without a session', async () => {
    const printed = /-d '(\{.*\})'/.exec(server.out)?.[1]
    const { status, body } = await call('POST', '/_matrix/client/v3/register', JSON.parse(String(printed)) as object)
    expect([status, body.user_id, typeof body.access_token]).toEqual([200, '@alice:localhost', 'string'])
  })

  test('no rate limit is in the way', async () => {
    const answers = await Promise.all(
      Array.from({ length: 15 }, (_, i) =>
        call('POST', '/_matrix/client/v3/register', { username: `many${i}`, password: 'a long password', auth: { type: 'm.login.dummy' } }),
      ),
    )
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]))
  })

  test('register-user makes accounts that can log in, and administrators', async () => {
    await writeFile(join(folder.path, 'password'), 'from a file\n')
    const made = await Promise.all([
      run(['register-user', '-u', 'bob', '-p', 'a long password']),
      run(['register-user', '-u', '@root:localhost', '--admin', '--password-file', 'password']),
    ])
    expect(made.map(({ out, err }) => out + err)).toEqual([
      '@bob:localhost is registered.\n',
      '@root:localhost is registered as an administrator.\n',
    ])
    const tokens = await Promise.all([login('bob', 'a long password'), login('root', 'from a file')])
    expect(tokens.map(({ status }) => status)).toEqual([200, 200])
    const administrate = ({ body }: Answer) => call('POST', '/_synapse/admin/v1/registration_tokens/new', {}, String(body.access_token))
    const [asBob, asRoot] = await Promise.all(tokens.map(administrate))
    expect([asBob?.status, asBob?.body.errcode, asRoot?.status]).toEqual([403, 'M_FORBIDDEN', 200])
  })

  test('register-user says what the server, or who answers in its place, does not take', async () => {
    const other = createServer((_request, response) => response.writeHead(404).end('nobody here'))
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const { port: otherPort } = other.address() as { port: number }
    const nobody = `http://127.0.0.1:${await freePort()}`
    const password = ['-p', 'a long password']
    const faults = await Promise.all([
      run(['register-user', '-u', 'many1', ...password]),
      run(['register-user', '-u', 'no spaces', ...password]),
      run(['register-user', '-u', 'carol', ...password, '--url', nobody]),
      run(['register-user', '-u', 'carol', ...password, '--url', `http://127.0.0.1:${otherPort}/`]),
      run(['register-user', '-u', 'carol', ...password], { WEFT_REGISTRATION_SHARED_SECRET: 'another' }),
    ])
    other.close()
    expect(faults.map(({ code, out, err }) => [code, out, err])).toEqual([
      [1, '', expect.stringMatching(/^weft: the server refuses: .* \(M_USER_IN_USE\)\n$/)],
      [1, '', expect.stringMatching(/^weft: the server refuses: .* \(M_INVALID_USERNAME\)\n$/)],
      [1, '', `weft: no server answers at ${nobody}: start it first, or give --url\n`],
      [1, '', `weft: what answers at http://127.0.0.1:${otherPort} is no Weft (404): give --url\n`],
      [1, '', expect.stringMatching(/^weft: the server refuses: .* \(M_FORBIDDEN\)\n$/)],
    ])
  })

  test('register-user says what it needs', async () => {
    await writeFile(join(folder.path, 'lacking.yaml'), 'server_name: localhost\n')
    const password = ['-p', 'a long password']
    const faults = await Promise.all([
      run(['register-user', '-u', 'carol', ...password, '-c', 'lacking.yaml']),
      run(['register-user', '-u', 'carol', '--password-file', 'nowhere']),
      run(['register-user', '-u', '@carol:elsewhere', ...password]),
      run(['register-user', '-u', 'carol', ...password, '--password-file', 'password']),
      run(['register-user', '-u', 'carol']),
    ])
    expect(faults.map(({ code, out, err }) => [code, out, err])).toEqual([
      [1, '', expect.stringMatching(/^weft: lacking\.yaml has no registration_shared_secret: put one there/)],
      [1, '', expect.stringMatching(/^weft: nowhere cannot be read: ENOENT.*\n$/)],
      [2, '', 'weft: @carol:elsewhere is no user of localhost\n'],
      [2, '', 'weft: give --password or --password-file, not both\n'],
      [2, '', 'weft: give --password or --password-file: there is no terminal to ask on\n'],
    ])
  })

  test('a second weft on the folder, or on the port, is refused in a line', async () => {
    const elsewhere = temporaryFolder()
    const [sameFolder, samePort] = await Promise.all([
      run(['start'], { WEFT_LISTENERS__0__PORT: '0' }),
      weft(['start'], { cwd: elsewhere.path, env }),
    ])
    await elsewhere.remove()
    expect([sameFolder.code, sameFolder.out]).toEqual([
      1,
      expect.stringMatching(/is in use by another weft \(process \d+\)\. Stop it first/),
    ])
    expect(samePort.code).toBe(1)
    expect(samePort.out).toContain(`127.0.0.1:${port} is taken by another program. Stop that one`)
    for (const { out, err } of [sameFolder, samePort]) expect(out + err).not.toMatch(/\n +at /)
  })
})

describe('a start again', () => {
  beforeEach(ofThisMachine)
  const afterwards: (() => Promise<unknown>)[] = []
  afterAll(async () => {
    for (const step of afterwards) await step()
  })

  test('has what was there; Ctrl-C, twice as npm passes it on, ends all of it', async () => {
    const path = folder.path
    afterwards.push(() => folder.remove())
    const first = launch()
    await first.says(/To stop:/)
    expect((await run(['register-user', '-u', 'alice', '-p', 'a long password'])).code).toBe(0)
    const made = await readFile(join(path, 'homeserver.yaml'), 'utf8')
    const postgres = postgresPid()
    first.signal('SIGINT')
    const ended = await first.stop()
    expect([ended.code, ended.err]).toEqual([0, ''])
    expect(isRunning(postgres)).toBe(false)
    expect(processesOf(path)).toEqual([])
    const second = launch()
    await second.says(/To stop:/)
    expect(second.out).not.toContain('is new')
    expect((await login('alice', 'a long password')).status).toBe(200)
    expect(await readFile(join(path, 'homeserver.yaml'), 'utf8')).toBe(made)
    expect((await second.stop()).code).toBe(0)
  })

  test('stops the PostgreSQL that a killed weft left behind', async () => {
    afterwards.push(() => folder.remove())
    const first = launch()
    await first.says(/To stop:/)
    const orphan = postgresPid()
    // Without its watchdog, which would stop it too.
    process.kill(-watchdogOf(orphan), 'SIGKILL')
    first.signal('SIGKILL')
    await first.ended
    expect(isRunning(orphan)).toBe(true)
    const second = launch()
    await second.says(/stopping the PostgreSQL server that a killed weft left behind/)
    await second.says(/To stop:/)
    expect(isRunning(orphan)).toBe(false)
    // And with its watchdog it does not outlive a killed weft.
    const watched = postgresPid()
    second.signal('SIGKILL')
    await gone([watched])
  })

  test('serves again, in the same process, when its PostgreSQL was killed', async () => {
    afterwards.push(() => folder.remove())
    const server = launch()
    await server.says(/To stop:/)
    expect((await run(['register-user', '-u', 'alice', '-p', 'a long password'])).code).toBe(0)
    const killed = postgresPid()
    process.kill(killed, 'SIGKILL')
    await server.says(/this process is the writer no more: it stands by/)
    let answer = await login('alice', 'a long password')
    while (answer.status === 503) answer = await login('alice', 'a long password')
    expect(answer.status).toBe(200)
    expect(postgresPid()).not.toBe(killed)
    expect(isRunning(server.pid)).toBe(true)
    expect(await server.stop()).toMatchObject({ code: 0 })
    expect(processesOf(folder.path)).toEqual([])
  })

  test('a data folder of another major version is refused with the way out, and left as it is', async () => {
    afterwards.push(() => folder.remove())
    const first = launch()
    await first.says(/To stop:/)
    await first.stop()
    await writeFile(join(folder.path, 'data/postgres/PG_VERSION'), '15\n')
    const { code, out, err } = await launch().ended
    expect([code, err]).toEqual([1, ''])
    expect(out).toMatch(/data\/postgres was made by PostgreSQL 15, and this release of weft brings PostgreSQL 18\. Ways out: .*pg_dump/)
    expect(out + err).not.toMatch(/\n +at /)
    expect(await readFile(join(folder.path, 'data/postgres/PG_VERSION'), 'utf8')).toBe('15\n')
  })

  test('without the signing key that the configuration names it is refused, and no other key made', async () => {
    afterwards.push(() => folder.remove())
    await mkdir(join(folder.path, 'data'))
    await writeFile(join(folder.path, 'homeserver.yaml'), 'server_name: a.b\ninternal_secret: 0123456789abcdef\nsigning_key_path: data/k\n')
    const { code, err } = await launch().ended
    expect(code).toBe(2)
    expect(err).toMatch(
      /homeserver\.yaml:3:1: signing_key_path: .*data\/k cannot be read: ENOENT\n {4}-> put the key there, from your copy/,
    )
    expect(await readdir(join(folder.path, 'data'))).toEqual([])
  })

  test('registration open to all does not start on an address that others reach', async () => {
    afterwards.push(() => folder.remove())
    const { code, out, err } = await run(['start'], { WEFT_LISTENERS__0__BIND_ADDRESSES: '0.0.0.0' })
    expect([code, err]).toEqual([2, expect.stringMatching(/enable_registration: is open to all who come, and others can reach 0\.0\.0\.0/)])
    expect(out).toContain('is new')
    expect((await readdir(join(folder.path, 'data'))).sort()).toEqual(['signing.key'])
  })

  // PostgreSQL refuses root, so only root has the unprivileged user that may be kept out.
  if (asRoot) {
    test('a folder that the unprivileged user cannot enter is refused with the way out', async () => {
      afterwards.push(() => folder.remove())
      await chmod(folder.path, 0o700)
      const { code, out, err } = await launch().ended
      expect([code, err]).toEqual([1, ''])
      expect(out).toMatch(/is out of reach: PostgreSQL refuses to run as root, so it runs as uid 65534, which may not enter /)
      expect(out).toContain(`chmod o+x ${folder.path}`)
      expect(out).not.toMatch(/\n +at /)
    })

    test('a data folder of another user is refused with the way out', async () => {
      afterwards.push(() => folder.remove())
      await mkdir(join(folder.path, 'data/postgres'), { recursive: true })
      await chown(join(folder.path, 'data/postgres'), 1234, 1234)
      const { code, out } = await launch().ended
      expect(code).toBe(1)
      expect(out).toMatch(
        /data\/postgres belongs to uid 1234, and PostgreSQL would now run as uid 65534\. Ways out: start weft as uid 1234/,
      )
      expect(out).toContain(`chown -R 65534 ${join(folder.path, 'data/postgres')}`)
    })
  }
})
