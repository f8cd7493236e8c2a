import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from '@jest/globals'
import { ConfigError, type ConfigProblem, configFrom, loadConfig, parseConfigText, parseDuration, parseSize } from '../src/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'weft-config-'))
afterAll(() => rmSync(folder, { recursive: true }))

const secret = 'internal_secret: 0123456789abcdef\n'

function problemsOf(text: string, options: Parameters<typeof parseConfigText>[1] = {}): readonly ConfigProblem[] {
  try {
    parseConfigText(text, options)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  throw new Error('was not refused')
}

function load(text: string, options: Parameters<typeof parseConfigText>[1] = {}) {
  const warnings: ConfigProblem[] = []
  return { config: parseConfigText(text, { ...options, onWarning: (warning) => warnings.push(warning) }), warnings }
}

describe('units', () => {
  test.each([
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['2d', 172_800_000],
    ['1w', 604_800_000],
    ['1y', 31_536_000_000],
    [1500, 1500],
    ['250', 250],
    ['5 m', undefined],
    ['-1s', undefined],
    ['1.5h', undefined],
    ['9999999999999y', undefined],
  ])('duration %p', (text, ms) => expect(parseDuration(text)).toBe(ms))

  test.each([
    ['50M', 52_428_800],
    ['1K', 1024],
    ['2G', 2_147_483_648],
    ['7KB', 7168],
    [10, 10],
    ['M', undefined],
    ['1m', undefined],
  ])('size %p', (text, bytes) => expect(parseSize(text)).toBe(bytes))
})

describe('defaults', () => {
  const config = configFrom({ server_name: 'example.org' })

  test("rate limits are Synapse's", () => {
    expect(config.rc_message).toEqual({ per_second: 0.2, burst_count: 10 })
    expect(config.rc_registration).toEqual({ per_second: 0.17, burst_count: 3 })
    expect(config.rc_registration_token_validity).toEqual({ per_second: 0.1, burst_count: 5 })
    expect(config.rc_login).toEqual({
      address: { per_second: 0.003, burst_count: 5 },
      account: { per_second: 0.003, burst_count: 5 },
      failed_attempts: { per_second: 0.17, burst_count: 3 },
    })
    expect(config.rc_joins).toEqual({ local: { per_second: 0.1, burst_count: 10 } })
    expect(config.rc_invites).toEqual({
      per_room: { per_second: 0.3, burst_count: 10 },
      per_user: { per_second: 0.003, burst_count: 5 },
      per_issuer: { per_second: 0.3, burst_count: 10 },
    })
    expect(config.rc_room_creation).toEqual({ per_second: 0.016, burst_count: 10 })
  })

  test('registration is closed and the listener on loopback', () => {
    expect(config.enable_registration).toBe(false)
    expect(config.listeners).toEqual([{ port: 8008, bind_addresses: ['127.0.0.1', '::1'], type: 'http', x_forwarded: false, tls: false }])
    expect(config.database).toBeUndefined()
    expect(config.redis).toBeUndefined()
    expect(config.default_room_version).toBe('12')
  })

  test('nobody can change the configuration of a process', () => {
    expect(() => {
      ;(config.listeners as unknown[]).push({})
    }).toThrow(TypeError)
  })

  test('one key of a limit keeps the default of the other', () => {
    expect(configFrom({ server_name: 'a.b', rc_message: { per_second: 5 } }).rc_message).toEqual({ per_second: 5, burst_count: 10 })
    expect(configFrom({ server_name: 'a.b', rc_message: false }).rc_message).toBe(false)
  })
})

describe('problems', () => {
  test('all are told at once, each with line, column, path and remedy', () => {
    const problems = problemsOf(
      [
        'server_name: "bad name"', // 1
        'listeners:', // 2
        '  - port: 80088', // 3
        '    bindaddresses: [a]', // 4
        '    tls: true', // 5
        'rc_message:', // 6
        '  per_second: x', // 7
        '  burst: 3', // 8
        'rc_login: 7', // 9
        'log: {level: loud}', // 10
        'process: {shutdown_deadline: 5x}', // 11
      ].join('\n'),
    )
    const byPath = new Map(problems.map((problem) => [problem.path, problem]))
    expect([...byPath.keys()].sort()).toEqual([
      'listeners[0].bindaddresses',
      'listeners[0].port',
      'listeners[0].tls',
      'log.level',
      'process.shutdown_deadline',
      'rc_login',
      'rc_message.burst',
      'rc_message.per_second',
      'server_name',
    ])
    expect(byPath.get('listeners[0].port')).toMatchObject({ file: 'homeserver.yaml', line: 3, column: 5 })
    expect(byPath.get('listeners[0].bindaddresses')).toMatchObject({ line: 4, remedy: 'did you mean bind_addresses?' })
    expect(byPath.get('rc_message.per_second')?.message).toBe('is the text "x", not a number')
    expect(byPath.get('rc_login')).toMatchObject({ line: 9, message: 'is 7, not a map' })
    expect(byPath.get('log.level')).toMatchObject({ line: 10, column: 7 })
    for (const problem of problems) expect(problem.remedy).not.toBe('')
  })

  test('the error itself carries the first place', () => {
    expect(() => parseConfigText(`server_name: a.b\n${secret}redis:\n  port: high`)).toThrow(
      expect.objectContaining({ name: 'ConfigError', file: 'homeserver.yaml', line: 4, column: 3, path: 'redis.port' }),
    )
  })

  test('a missing setting is told with an example', () => {
    expect(problemsOf(secret)).toEqual([
      expect.objectContaining({ path: 'server_name', message: 'is missing', remedy: 'set `server_name`, such as "example.org"' }),
    ])
  })

  test('a password that YAML takes for an alias, and aliases that multiply', () => {
    const problems = problemsOf('server_name: a.example\ninternal_secret: *swordfish')
    expect(problems).toEqual([
      expect.objectContaining({ line: 2, column: 18, message: expect.stringContaining('alias'), remedy: expect.stringContaining('quote') }),
    ])
    expect(JSON.stringify(problems)).not.toContain('swordfish')
    const levels = Array.from({ length: 8 }, (_, i) => `l${i}: &l${i} [${Array(9).fill(i === 0 ? 'x' : `*l${i - 1}`)}]`)
    expect(problemsOf(levels.join('\n'))).toEqual([expect.objectContaining({ line: 1, message: expect.stringContaining('alias') })])
  })

  test('bad YAML, a list and a missing file', () => {
    expect(problemsOf('a: [1')[0]).toMatchObject({ line: 1, remedy: expect.stringContaining('YAML') })
    expect(problemsOf('server_name: a.b\nserver_name: c.d')[0]?.line).toBe(2)
    expect(problemsOf('- a')[0]?.message).toBe('is no map of settings')
    expect(() => loadConfig({ path: join(folder, 'none.yaml') })).toThrow(/none\.yaml: cannot be read: ENOENT[\s\S]*generate-config/)
  })

  test('keys named as properties of every object are ordinary unknown keys (R43)', () => {
    const { warnings } = load(`server_name: a.b\n${secret}constructor: 1\ntoString: 2\n__proto__: {server_name: x}`)
    expect(warnings.map(({ path }) => path).sort()).toEqual(['__proto__', 'constructor', 'toString'])
    expect(problemsOf(`server_name: a.b\n${secret}caches: {constructor: 1}`)[0]?.message).toBe('is no setting')
    expect(problemsOf(`server_name: a.b\n${secret}caches: {__proto__: 1}`)[0]?.message).toBe('is no setting')
  })
})

describe("Synapse's files", () => {
  test('the file that Synapse generates is usable as it is', () => {
    const { config, warnings } = load(`
server_name: "example.org"
pid_file: /data/homeserver.pid
listeners:
  - port: 8008
    resources:
    - compress: false
      names: [client, federation]
    tls: false
    type: http
    x_forwarded: true
database:
  name: psycopg2
  txn_limit: 10000
  args:
    user: synapse_user
    password: 12:3/4@5
    dbname: synapse
    host: localhost
    port: 5432
    cp_min: 5
    cp_max: 20
log_config: "/data/example.org.log.config"
media_store_path: /data/media_store
registration_shared_secret: "abc"
report_stats: false
macaroon_secret_key: "x"
form_secret: "y"
worker_replication_secret: "0123456789abcdef"
signing_key_path: "/data/example.org.signing.key"
trusted_key_servers:
  - server_name: "matrix.org"
suppress_key_server_warning: true
`)
    expect(config.listeners[0]).toMatchObject({ port: 8008, bind_addresses: ['::', '0.0.0.0'], x_forwarded: true })
    expect(config.database).toEqual({ url: 'postgresql://synapse_user:12%3A3%2F4%405@localhost:5432/synapse', pool_size: 20 })
    expect(new URL(config.database!.url).password).toBe(encodeURIComponent('12:3/4@5'))
    expect(config.internal_secret).toBe('0123456789abcdef')
    expect(warnings.map(({ path }) => path)).toEqual(
      expect.arrayContaining([
        'pid_file',
        'listeners[0].resources',
        'database.txn_limit',
        'database.args.cp_min',
        'log_config',
        'trusted_key_servers',
      ]),
    )
    expect(warnings.find(({ path }) => path === 'log_config')).toMatchObject({ line: 23, remedy: expect.stringContaining('`log`') })
  })

  test('limits of what this server does not do warn and are left out, the others of their section count', () => {
    const limit = '{ per_second: 1, burst_count: 2 }'
    const { config, warnings } = load(
      `server_name: a.b\n${secret}rc_joins:\n  local: ${limit}\n  remote: ${limit}\nrc_presence:\n  per_user: ${limit}\n`,
    )
    expect(config.rc_joins).toEqual({ local: { per_second: 1, burst_count: 2 } })
    expect(warnings).toEqual([
      expect.objectContaining({ path: 'rc_presence', line: 6 }),
      expect.objectContaining({ path: 'rc_joins.remote', line: 5 }),
    ])
  })

  test('an unknown key at the top warns with what was meant', () => {
    const { warnings } = load(`server_name: a.b\n${secret}enable_registraton: true`)
    expect(warnings).toEqual([expect.objectContaining({ line: 3, remedy: 'did you mean enable_registration?' })])
  })

  test('settings that would do harm in silence are refused', () => {
    expect(problemsOf(`server_name: a.b\n${secret}databases: {}`)[0]?.path).toBe('databases')
    expect(problemsOf(`server_name: a.b\n${secret}database: {name: sqlite3}`)[0]?.message).toMatch(/PostgreSQL is the only database/)
    expect(problemsOf(`server_name: a.b\n${secret}allow_guest_access: true`)[0]?.message).toMatch(/guests are not supported/)
  })
})

describe('connections', () => {
  const url = (database: object): string | undefined => configFrom({ server_name: 'a.b', database }).database?.url

  test('a database by URL, by parts, by socket, over TLS', () => {
    expect(url({ url: 'postgresql://u:p@h:1/d' })).toBe('postgresql://u:p@h:1/d')
    expect(url({ args: { dbname: 'd' } })).toBe('postgresql://localhost/d')
    expect(url({ args: { user: 'u', database: 'd', host: '::1' } })).toBe('postgresql://u@[::1]/d')
    expect(url({ args: { user: 'u', dbname: 'd', host: '/run/pg', port: 5433 } })).toBe('postgresql://u@localhost:5433/d?host=%2Frun%2Fpg')
    expect(url({ args: { dbname: 'd', sslmode: 'require' } })).toBe('postgresql://localhost/d?uselibpqcompat=true&sslmode=require')
  })

  test('two ways at once, or none, are refused', () => {
    expect(() => url({ url: 'postgresql://h/d', args: { host: 'x' } })).toThrow(/given by url and by args \(host\)/)
    expect(() => url({ args: { host: 'x' } })).toThrow(/names no database/)
    expect(() => url({ args: { dbname: 'x', database: 'y' } })).toThrow(/means the same as dbname/)
  })

  test('Redis by parts and by URL, only when enabled', () => {
    const redis = (settings: object) => configFrom({ server_name: 'a.b', redis: settings }).redis?.url
    expect(redis({ host: 'r' })).toBeUndefined()
    expect(redis({ enabled: true })).toBe('redis://localhost:6379/0')
    expect(redis({ enabled: true, host: 'r', port: 1, password: 'p@', dbid: '3', use_tls: true })).toBe('rediss://:p%40@r:1/3')
    expect(redis({ enabled: true, path: '/run/redis.sock', password: 'p&' })).toBe('/run/redis.sock?db=0&password=p%26')
    expect(redis({ enabled: true, url: 'redis://x:1/2' })).toBe('redis://x:1/2')
  })
})

describe('environment', () => {
  const text = `server_name: a.b\n${secret}database: {args: {user: u, password_path: /none, dbname: d, cp_max: 5}}\n`

  test('variables count more than the file and step into sections', () => {
    const { config } = load(text, {
      env: {
        WEFT_SERVER_NAME: 'c.d',
        WEFT_DATABASE__URL: 'postgresql://h/e',
        WEFT_RC_MESSAGE__PER_SECOND: '7',
        WEFT_RC_LOGIN__ADDRESS: 'false',
        WEFT_LISTENERS__0__PORT: '9000',
        WEFT_TRUSTED_PROXIES: '10.0.0.0/8, 192.168.0.1',
        WEFT_PROCESS__SHUTDOWN_DEADLINE: '3s',
        WEFT_REDIS: '{enabled: true, host: r}',
        WEFT_DEFAULT_ROOM_VERSION: '11',
      },
    })
    expect(config.server_name).toBe('c.d')
    expect(config.database).toEqual({ url: 'postgresql://h/e', pool_size: 5 })
    expect(config.rc_message).toEqual({ per_second: 7, burst_count: 10 })
    expect(config.rc_login.address).toBe(false)
    expect(config.listeners[0]?.port).toBe(9000)
    expect(config.trusted_proxies).toEqual(['10.0.0.0/8', '192.168.0.1'])
    expect(config.process.shutdown_deadline).toBe(3000)
    expect(config.redis?.url).toBe('redis://r:6379/0')
    expect(config.default_room_version).toBe('11')
  })

  test('a text that looks like a number stays a text', () => {
    const { config } = load(`server_name: a.b\n${secret}`, {
      env: { WEFT_DATABASE__ARGS__PASSWORD: '0123', WEFT_DATABASE__ARGS__DBNAME: 'true' },
    })
    expect(config.database?.url).toBe('postgresql://:0123@localhost/true')
  })

  test('DATABASE_URL and REDIS_URL work, and WEFT_ counts more', () => {
    const { config } = load(text, { env: { DATABASE_URL: 'postgres://h/1', REDIS_URL: 'redis://r/1' } })
    expect([config.database?.url, config.redis?.url]).toEqual(['postgres://h/1', 'redis://r/1'])
    const { config: other } = load(text, { env: { DATABASE_URL: 'postgres://h/1', WEFT_DATABASE__URL: 'postgres://h/2' } })
    expect(other.database?.url).toBe('postgres://h/2')
  })

  test('a secret given by the environment replaces the path in the file', () => {
    const { config } = load('server_name: a.b\ninternal_secret_path: /none\n', { env: { WEFT_INTERNAL_SECRET: 'fedcba9876543210' } })
    expect(config.internal_secret).toBe('fedcba9876543210')
    const { config: aliased } = load('server_name: a.b\nworker_replication_secret_path: /none\n', {
      env: { WEFT_INTERNAL_SECRET: 'fedcba9876543210' },
    })
    expect(aliased.internal_secret).toBe('fedcba9876543210')
  })

  test('a problem names the variable', () => {
    const env = { WEFT_CACHES__EVENTS: '5X' }
    expect(problemsOf(`server_name: a.b\n${secret}`, { env })[0]).toMatchObject({ file: '$WEFT_CACHES__EVENTS', path: 'caches.events' })
  })

  test('an unknown variable warns, what Kubernetes gives for Services does not', () => {
    const { warnings } = load(`server_name: a.b\n${secret}`, {
      env: {
        WEFT_SERVR_NAME: 'x',
        WEFT_ROUTER_SERVICE_HOST: '10.0.0.1',
        WEFT_ROUTER_PORT: 'tcp://10.0.0.1:8008',
        WEFT_ROUTER_PORT_8008_TCP: 'tcp://x',
        WEFT_CONFIG: 'f',
      },
    })
    expect(warnings).toEqual([expect.objectContaining({ file: '$WEFT_SERVR_NAME', remedy: 'did you mean WEFT_SERVER_NAME?' })])
  })

  test('a container needs no file', () => {
    const config = loadConfig({
      env: { WEFT_SERVER_NAME: 'a.b', WEFT_INTERNAL_SECRET: '0123456789abcdef', DATABASE_URL: 'postgres://h/1' },
      requires: ['internal_secret', 'database'],
    })
    expect(config.server_name).toBe('a.b')
  })
})

describe('secrets', () => {
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text)
    return name
  }

  test('are read from files beside the configuration, trimmed', () => {
    file('internal', '0123456789abcdef0123\n')
    file('db', ' p \n')
    const path = join(
      folder,
      file('a.yaml', 'server_name: a.b\ninternal_secret_path: internal\ndatabase: {args: {dbname: d, user: u, password_path: db}}\n'),
    )
    const config = loadConfig({ path })
    expect(config.internal_secret).toBe('0123456789abcdef0123')
    expect(config.database?.url).toBe('postgresql://u:p@localhost/d')
    expect(config.signing_key_path).toBe(join(folder, 'a.b.signing.key'))
    expect(Object.keys(config).filter((key) => key.endsWith('secret_path'))).toEqual([])
  })

  test('a file that is missing, empty or too short is named, and the secret itself never is', () => {
    const path = join(
      folder,
      file(
        'b.yaml',
        `server_name: a.b\ninternal_secret_path: ${file('short', 'tiny-secret')}\nregistration_shared_secret_path: ${file('empty', '\n')}\nredis: {enabled: true, password_path: gone}\n`,
      ),
    )
    let message = ''
    try {
      loadConfig({ path })
    } catch (error) {
      message = (error as Error).message
    }
    expect(message).toMatch(/b\.yaml:2:1: internal_secret_path: is too short/)
    expect(message).toMatch(/b\.yaml:3:1: registration_shared_secret_path: .*empty is empty/)
    expect(message).toMatch(/b\.yaml:4:24: redis\.password_path: .*gone cannot be read: ENOENT/)
    expect(message).not.toContain('tiny-secret')
  })

  test('twice is refused', () => {
    expect(problemsOf(`server_name: a.b\n${secret}internal_secret_path: x`)[0]?.message).toBe('is given, and internal_secret too')
    expect(problemsOf(`server_name: a.b\n${secret}worker_replication_secret: 0123456789abcdef`)[0]?.message).toBe(
      'is given, and internal_secret too',
    )
  })

  test('R31: a process does not start without its secrets, and none has a default', () => {
    expect(problemsOf('server_name: a.b')[0]).toMatchObject({
      path: 'internal_secret',
      message: 'is missing',
      remedy: expect.stringContaining('openssl rand'),
    })
    const requires = ['internal_secret', 'database', 'redis', 'signing_key'] as const
    expect(problemsOf('server_name: a.b', { requires, baseDir: folder }).map(({ path }) => path)).toEqual([
      'internal_secret',
      'database',
      'redis',
      'signing_key_path',
    ])
    writeFileSync(join(folder, 'a.b.signing.key'), 'ed25519 a_1 nonsense!')
    const [problem] = problemsOf(`server_name: a.b\n${secret}`, { requires: ['signing_key'], baseDir: folder })
    expect(problem?.message).toMatch(/holds no signing key/)
    expect(problem?.message).not.toContain('nonsense')
    writeFileSync(join(folder, 'a.b.signing.key'), `ed25519 a_1 ${Buffer.alloc(32, 7).toString('base64').replace(/=+$/, '')}\n`)
    expect(parseConfigText(`server_name: a.b\n${secret}`, { requires: ['signing_key'], baseDir: folder }).signing_key_path).toBe(
      join(folder, 'a.b.signing.key'),
    )
  })
})

describe('open registration', () => {
  const open = (more: string) => `server_name: a.b\n${secret}enable_registration: true\n${more}`

  test('is accepted on loopback', () => {
    expect(load(open('')).config.enable_registration).toBe(true)
    expect(load(open('listeners: [{port: 1, bind_addresses: [127.0.0.5, "::1", localhost]}]')).config.enable_registration).toBe(true)
  })

  test.each([
    ['all addresses', 'listeners: [{port: 1}]'],
    ['a public address', 'listeners: [{port: 1, bind_addresses: [127.0.0.1, 10.0.0.1]}]'],
    ['a name', 'listeners: [{port: 1, bind_addresses: [example.org]}]'],
    ['a reverse proxy before loopback', 'listeners: [{port: 1, bind_addresses: [127.0.0.1], x_forwarded: true}]'],
    ['IPv4 in IPv6', 'listeners: [{port: 1, bind_addresses: ["::ffff:10.0.0.1"]}]'],
  ])('is refused on %s', (_, listeners) => {
    expect(problemsOf(open(listeners))[0]).toMatchObject({
      path: 'enable_registration',
      line: 3,
      remedy: expect.stringContaining('enable_registration_without_verification'),
    })
  })

  test('is accepted with a token, or when it was asked for twice', () => {
    const listeners = 'listeners: [{port: 1}]\n'
    expect(load(open(`${listeners}registration_requires_token: true`)).config.enable_registration).toBe(true)
    expect(load(open(`${listeners}enable_registration_without_verification: true`)).config.enable_registration).toBe(true)
  })

  test('a metrics listener opens no door', () => {
    expect(load(open('listeners: [{port: 1, bind_addresses: [127.0.0.1]}, {port: 2, type: metrics}]')).config.listeners).toHaveLength(2)
  })
})
