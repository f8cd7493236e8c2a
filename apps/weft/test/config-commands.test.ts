import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { parse } from 'yaml'
import { type Ended, type Environment, temporaryFolder, weft } from './weft.ts'

let folder: ReturnType<typeof temporaryFolder>
beforeEach(() => {
  folder = temporaryFolder()
})
afterEach(() => folder.remove())

const inFolder = (args: string[], env: Environment = {}): Promise<Ended> => weft(args, { cwd: folder.path, env })
const write = (name: string, text: string): Promise<void> => writeFile(join(folder.path, name), text)
const modeOf = async (name: string): Promise<string> => ((await stat(join(folder.path, name))).mode & 0o777).toString(8)

const minimal = 'server_name: a.b\ninternal_secret: 0123456789abcdef\n'

describe('generate-config', () => {
  test('writes a closed server with secrets of its own, readable for its user only, and check-config takes it', async () => {
    const { code, out, err } = await inFolder(['generate-config', '--server-name', 'example.org:8448', '--output', 'etc/weft'])
    expect([code, err]).toEqual([0, ''])
    expect(out).toContain(join(folder.path, 'etc/weft/homeserver.yaml'))
    expect((await readdir(join(folder.path, 'etc/weft'))).sort()).toEqual(['example.org_8448.signing.key', 'homeserver.yaml'])
    expect([await modeOf('etc/weft/homeserver.yaml'), await modeOf('etc/weft/example.org_8448.signing.key')]).toEqual(['600', '600'])
    const text = await readFile(join(folder.path, 'etc/weft/homeserver.yaml'), 'utf8')
    const given = parse(text) as Record<string, unknown>
    expect(given).toMatchObject({
      server_name: 'example.org:8448',
      listeners: [{ port: 8008, bind_addresses: ['127.0.0.1', '::1'], x_forwarded: true }],
      internal_secret: expect.stringMatching(/^[\w-]{43}$/),
      registration_shared_secret: expect.stringMatching(/^[\w-]{43}$/),
    })
    // Closed, and with Synapse's limits: what stands there as a comment is the default.
    expect(Object.keys(given).filter((key) => /^(enable_registration|rc_)/.test(key))).toEqual([])
    expect(text).toContain('#enable_registration: false')
    expect(text).toMatch(/#rc_message:\n# {2}per_second: 0\.2\n# {2}burst_count: 10/)
    expect(await readFile(join(folder.path, 'etc/weft/example.org_8448.signing.key'), 'utf8')).toMatch(/^ed25519 a_\w{6} [\w+/]{43}\n$/)
    const checked = await inFolder(['check-config', '-c', 'etc/weft/homeserver.yaml'])
    expect([checked.code, checked.err]).toEqual([0, ''])
    expect(checked.out).toMatch(/^etc\/weft\/homeserver\.yaml is fine, for the server example\.org:8448\.\n/)
    // It names what only some need.
    expect(checked.out).toMatch(/Not enough for `weft run`.*\n.*database: is missing\n.*\n.*redis: is not enabled/)
    expect(checked.out).not.toContain('signing_key_path')
  })

  test('two servers have nothing secret in common', async () => {
    await Promise.all(['one', 'two'].map((output) => inFolder(['generate-config', '-s', 'a.b', '-o', output])))
    const secrets = async (name: string) => {
      const { internal_secret, registration_shared_secret } = parse(await readFile(join(folder.path, name, 'homeserver.yaml'), 'utf8'))
      return [internal_secret, registration_shared_secret, await readFile(join(folder.path, name, 'a.b.signing.key'), 'utf8')]
    }
    expect(new Set([...(await secrets('one')), ...(await secrets('two'))]).size).toBe(6)
  })

  test.each(['homeserver.yaml', 'a.b.signing.key'])('writes nothing where %s is there already', async (name) => {
    await write(name, 'precious')
    const { code, out, err } = await inFolder(['generate-config', '-s', 'a.b'])
    expect([code, out]).toEqual([1, ''])
    expect(err).toBe(`weft: ${join(folder.path, name)} is there already, and nothing was written: move it away first.\n`)
    expect(await readdir(folder.path)).toEqual([name])
    expect(await readFile(join(folder.path, name), 'utf8')).toBe('precious')
  })

  test('refuses what is no server name, and a folder that cannot be', async () => {
    await write('file', '')
    const [name, output] = await Promise.all([
      inFolder(['generate-config', '-s', 'exa mple']),
      inFolder(['generate-config', '-s', 'a.b', '-o', 'file/inside']),
    ])
    expect(name).toEqual({ code: 2, out: '', err: 'weft: "exa mple" is no server name, such as example.org\n' })
    expect(output.code).toBe(1)
    expect(output.err).toMatch(/^weft: .*a\.b\.signing\.key cannot be written: ENOTDIR.*\n$/)
  })
})

describe('check-config', () => {
  test('names file, line and remedy of everything that is wrong', async () => {
    const lines = [
      'server_name: a.b',
      'internal_secret: short',
      'listeners:',
      '  - port: 80008',
      'log:',
      '  levle: debug',
      'database:',
      '  name: sqlite3',
      'password_config:',
      '  policy: {minimum_length: many}',
    ]
    await write('homeserver.yaml', `${lines.join('\n')}\n`)
    const { code, out, err } = await inFolder(['check-config'])
    expect([code, out]).toEqual([2, ''])
    expect(err).toMatch(/^The configuration is refused:\n/)
    const problems = err.trimEnd().split('\n').slice(1)
    const places = problems
      .filter((line) => !line.startsWith('    -> '))
      .map((line) => /^(homeserver\.yaml:\d+):\d+: (.*?): /.exec(line)?.slice(1))
    expect(places).toEqual([
      ['homeserver.yaml:2', 'internal_secret'],
      ['homeserver.yaml:4', 'listeners[0].port'],
      ['homeserver.yaml:6', 'log.levle'],
      ['homeserver.yaml:8', 'database.name'],
      ['homeserver.yaml:10', 'password_config.policy.minimum_length'],
    ])
    expect(problems).toHaveLength(2 * places.length)
    expect(err).toContain('-> did you mean level?')
  })

  test('names the line of what is no YAML, and a file that is not there', async () => {
    await write('homeserver.yaml', 'server_name: a.b\ninternal_secret: {x\n')
    const [broken, absent] = await Promise.all([inFolder(['check-config']), inFolder(['check-config', '-c', 'other.yaml'])])
    expect(broken.code).toBe(2)
    expect(broken.err).toMatch(/homeserver\.yaml:[23]:\d+: .*\n {4}-> correct the YAML/)
    expect(absent.err).toMatch(/other\.yaml: cannot be read: ENOENT\n {4}-> create it with `weft generate-config`/)
  })

  test('warns of Synapse’s settings that do nothing here, and of what nobody knows', async () => {
    await write('homeserver.yaml', `${minimal}report_stats: true\nlistners: []\n`)
    const { code, out } = await inFolder(['check-config'], { WEFT_SERVERNAME: 'x' })
    expect(code).toBe(0)
    expect(out).toMatch(/^warning: homeserver\.yaml:3:1: report_stats: does nothing here\n {4}-> nothing is reported to anybody$/m)
    expect(out).toMatch(/^warning: homeserver\.yaml:4:1: listners: .*\n {4}-> did you mean listeners\?$/m)
    expect(out).toMatch(/^warning: \$WEFT_SERVERNAME: .*\n {4}-> did you mean WEFT_SERVER_NAME\?$/m)
  })

  test.each<[string, string, RegExp | undefined]>([
    ['on every address', 'listeners: [{port: 8008}]', /others can reach :: of listeners\[0\]/],
    [
      'on one address of the network',
      'listeners: [{port: 8008, bind_addresses: [127.0.0.1, 10.1.2.3]}]',
      /others can reach 10\.1\.2\.3 of/,
    ],
    ['behind a proxy', 'listeners: [{port: 8008, bind_addresses: [127.0.0.1], x_forwarded: true}]', /a reverse proxy brings others/],
    ['on loopback', 'listeners: [{port: 8008, bind_addresses: [127.0.0.1, "::1"]}]', undefined],
    ['where that is wanted', 'listeners: [{port: 8008}]\nenable_registration_without_verification: true', undefined],
    ['by token', 'listeners: [{port: 8008}]\nregistration_requires_token: true', undefined],
  ])('registration open to all %s', async (_, settings, refusal) => {
    await write('homeserver.yaml', `${minimal}enable_registration: true\n${settings}\n`)
    const { code, err } = await inFolder(['check-config'])
    if (refusal === undefined) return expect([code, err]).toEqual([0, ''])
    expect(code).toBe(2)
    expect(err).toMatch(/homeserver\.yaml:3:1: enable_registration: is open to all who come/)
    expect(err).toMatch(refusal)
    expect(err).toMatch(
      /-> set `registration_requires_token: true`, or listen on 127\.0\.0\.1 only; `enable_registration_without_verification/,
    )
  })

  test('the environment overrides the file, and serves without one', async () => {
    await write('homeserver.yaml', `${minimal}log: {level: loud}\n`)
    const env = { WEFT_SERVER_NAME: 'from.environment', WEFT_LOG__LEVEL: 'debug' }
    const alone = {
      WEFT_SERVER_NAME: 'alone',
      WEFT_INTERNAL_SECRET: '0123456789abcdef',
      DATABASE_URL: 'postgres://h/d',
      REDIS_URL: 'redis://h',
    }
    await mkdir(join(folder.path, 'empty'))
    const [over, without, nothing, wrong] = await Promise.all([
      inFolder(['check-config'], env),
      weft(['check-config'], { cwd: join(folder.path, 'empty'), env: alone }),
      weft(['check-config'], { cwd: join(folder.path, 'empty') }),
      inFolder(['check-config'], { ...env, WEFT_LISTENERS__0__PORT: 'http' }),
    ])
    expect(over.out).toMatch(/fine, for the server from\.environment\./)
    expect(without.out).toMatch(/^The environment is fine, for the server alone\./)
    expect(without.out).not.toContain('Not enough for `weft run`')
    expect(nothing.err).toMatch(/^The configuration is refused:\nenvironment \(no --config and no \$WEFT_CONFIG\): server_name: is missing/)
    expect([wrong.code, wrong.err]).toEqual([
      2,
      expect.stringMatching(/\n\$WEFT_LISTENERS__0__PORT: listeners\[0\]\.port: is the text "http"/),
    ])
  })

  test('$WEFT_CONFIG names the file, and --config another', async () => {
    await write('one.yaml', minimal.replace('a.b', 'one'))
    await write('two.yaml', minimal.replace('a.b', 'two'))
    const env = { WEFT_CONFIG: join(folder.path, 'one.yaml') }
    const [one, two] = await Promise.all([inFolder(['check-config'], env), inFolder(['check-config', '-c', 'two.yaml'], env)])
    expect([one.out, two.out]).toEqual([expect.stringContaining('for the server one.'), expect.stringContaining('for the server two.')])
  })

  test('secrets come from files, and a file that is missing, empty, or one too many is told without its content', async () => {
    await write('secret', 'a secret of some length\n')
    await write('empty', '')
    const check = async (settings: string) => {
      const name = `${Math.random()}.yaml`
      await write(name, `server_name: a.b\n${settings}\n`)
      return await inFolder(['check-config', '-c', name])
    }
    const [fine, alias, missing, empty, both] = await Promise.all([
      check(
        'internal_secret_path: secret\nregistration_shared_secret_path: secret\ndatabase: {url_path: secret}\nredis: {enabled: true, password_path: secret}',
      ),
      check('worker_replication_secret_path: secret'),
      check('internal_secret_path: nowhere'),
      check('internal_secret_path: empty'),
      check('internal_secret: 0123456789abcdef\ninternal_secret_path: secret'),
    ])
    expect(fine.err).toMatch(/:4:\d+: database\.url_path: /)
    expect(alias).toMatchObject({ code: 0, err: '' })
    expect(missing.err).toMatch(/:2:1: internal_secret_path: .*nowhere cannot be read: ENOENT\n {4}-> create the file.*chmod 600/)
    expect(empty.err).toMatch(/:2:1: internal_secret_path: .*empty is empty\n/)
    expect(both.err).toMatch(/:3:1: internal_secret_path: is given, and internal_secret too\n/)
    for (const { out, err } of [fine, alias, missing, empty, both]) expect(out + err).not.toContain('a secret of')
  })
})

describe('run says what its class needs', () => {
  test.each<[string, string[]]>([
    ['router', ['redis']],
    ['sync', ['database', 'redis']],
    ['writer', ['database', 'redis', 'signing_key_path']],
  ])('%s', async (name, needed) => {
    await write('homeserver.yaml', 'server_name: a.b\n')
    const { code, out, err } = await inFolder(['run', name])
    expect([code, out]).toEqual([2, ''])
    expect([...err.matchAll(/^homeserver\.yaml\S*: (\w+): /gm)].map((match) => match[1])).toEqual(['internal_secret', ...needed])
    expect(err).not.toMatch(/\n {4}at /)
  })

  test('a signing key that holds none is refused, and not quoted', async () => {
    await write('homeserver.yaml', `${minimal}database: {url: "postgres://h/d"}\nredis: {enabled: true}\nsigning_key_path: key\n`)
    await write('key', 'ed25519 a_1 notakey\n')
    await chmod(join(folder.path, 'key'), 0o600)
    const { code, err } = await inFolder(['run', 'writer'])
    expect(code).toBe(2)
    expect(err).toMatch(/homeserver\.yaml:5:1: signing_key_path: .*key holds no signing key that can be read\n {4}-> put the key there/)
    expect(err).not.toContain('notakey')
  })
})
