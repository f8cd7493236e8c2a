import { describe, expect, test } from '@jest/globals'
import { createLogger, type Logger, scrub, silentLogger } from '../src/index.ts'
import { gatheredOutput } from '../src/log/output.ts'

function logged(format: 'json' | 'text', use: (log: Logger) => void, level: 'debug' | 'info' | 'warn' | 'error' = 'info'): string[] {
  const lines: string[] = []
  use(createLogger({ level, format, write: (line) => lines.push(line) }))
  return lines
}

describe('json', () => {
  test('one object a line, with level, time, fields and those of the parents', () => {
    const [line] = logged('json', (log) => log.child({ instance: 'sync-1' }).child({ room: '!a' }).info({ n: 1 }, 'hello'))
    expect(line?.endsWith('\n')).toBe(true)
    expect(JSON.parse(line!)).toEqual({
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      instance: 'sync-1',
      room: '!a',
      n: 1,
      msg: 'hello',
    })
  })

  test('errors keep message, code and stack', () => {
    const [line] = logged('json', (log) => log.error({ err: Object.assign(new Error('boom'), { code: 'E1' }) }, 'failed'))
    expect(JSON.parse(line!).err).toMatchObject({
      type: 'Error',
      message: 'boom',
      code: 'E1',
      stack: expect.stringContaining('log.test.ts'),
    })
  })

  test('errors show causes, and neither the objects that libraries hang on them nor rows that PostgreSQL quotes', () => {
    const cause = Object.assign(new Error('inner'), {
      code: '23502',
      detail: 'Failing row contains (1, @a:b, secret-hash).',
      client: { secretKey: 12345 },
    })
    const [line] = logged('json', (log) => log.error({ err: new Error('outer', { cause }) }, 'failed'))
    expect(JSON.parse(line!).err).toMatchObject({ message: 'outer', cause: { message: 'inner', code: '23502' } })
    expect(line).not.toMatch(/secret-hash|12345/)
    const [many] = logged('json', (log) => log.error({ err: new AggregateError([new Error('a'), new Error('b')], 'all') }, 'failed'))
    expect(JSON.parse(many!).err.errors.map(({ message }: Error) => message)).toEqual(['a', 'b'])
    const circular = new Error('self')
    circular.cause = circular
    const [selfish] = logged('json', (log) => log.error({ err: circular }, 'failed'))
    expect(selfish!.length).toBeLessThan(50_000)
    const [long] = logged('json', (log) => log.error({ err: new Error('x'.repeat(1e6)) }, 'failed'))
    expect(long!.length).toBeLessThan(20_000)
  })

  test.each([['text'], [undefined], [{ a: 1n }]])('a thrown %p is shown', (err) => {
    expect(logged('json', (log) => log.error({ err }, 'failed'))).toHaveLength(1)
    expect(logged('text', (log) => log.error({ err }, 'failed'))).toHaveLength(1)
  })

  test('levels below are not written', () => {
    const lines = logged(
      'json',
      (log) => {
        log.debug({}, 'a')
        log.info({}, 'b')
        log.warn({}, 'c')
        expect([log.enabled('info'), log.enabled('warn')]).toEqual([false, true])
      },
      'warn',
    )
    expect(lines).toHaveLength(1)
  })
})

test('text is for people', () => {
  const [line] = logged('text', (log) => log.child({ instance: 'sync-1' }).warn({ path: '/a b', n: 2, o: { x: 1 } }, 'slow request'))
  expect(line).toMatch(/^\d\d:\d\d:\d\d\.\d{3} WARN {2}sync-1 slow request path="\/a b" n=2 o=\{"x":1\}\n$/)
  const [failure] = logged('text', (log) => log.error({ err: new Error('boom') }, 'failed'))
  expect(failure).toMatch(/ERROR failed\n {4}Error: boom\n {8}at /)
})

describe('R34: no line contains a secret', () => {
  const token = 'wft_YWxpY2U_3kJ9x-Zq_8'
  const carriers: [string, object, string][] = [
    ['a query', { path: `/_matrix/client/v3/sync?since=s1&access_token=${token}&timeout=0` }, 'request'],
    ['a query of any token', { path: '/x?access_token=MDAxOGxvY2F0aW9u&a=1' }, 'request'],
    ['an encoded query', { path: '/x?a=access%5Ftoken%3DMDAxOGxvY2F0aW9u' }, 'request'],
    ['upper case', { path: '/x?ACCESS_TOKEN=MDAxOGxvY2F0aW9u' }, 'request'],
    ['a message', {}, `token ${token} is unknown`],
    ['a header', { headers: { authorization: `Bearer MDAxOGxvY2F0aW9u` } }, 'request'],
    ['a header in text', { header: 'Bearer MDAxOGxvY2F0aW9u' }, 'request'],
    ['the header of the router', { headers: { 'x-weft-internal-secret': 'MDAxOGxvY2F0aW9u' } }, 'request'],
    ['a nested field', { body: { auth: { password: 'MDAxOGxvY2F0aW9u', user: 'a' } } }, 'request'],
    ['a body in a string', { body: JSON.stringify({ password: 'MDAxOGxvY2F0aW9u', new_password: `${token}"x` }) }, 'request'],
    ['an error', { err: new Error(`no row for ${token}`) }, 'failed'],
    ["an error's property", { err: Object.assign(new Error('x'), { detail: `Key (token)=(${token})` }) }, 'failed'],
    ["Synapse's token", { t: 'syt_YWxpY2U_AbCdEf_012345' }, 'request'],
    ['a URL with a password', { url: 'postgresql://weft:MDAxOGxvY2F0aW9u@localhost/weft' }, 'connect'],
    ['a Redis URL', { url: 'redis://:MDAxOGxvY2F0aW9u@localhost/0' }, 'connect'],
    [
      'a secret of the configuration',
      { config: { internal_secret: 'MDAxOGxvY2F0aW9u', registration_shared_secret: 'MDAxOGxvY2F0aW9u' } },
      'start',
    ],
  ]
  for (const format of ['json', 'text'] as const) {
    test.each(carriers)(`${format}: in %s`, (_, fields, message) => {
      const [line] = logged(format, (log) => log.child({}).error(fields, message))
      expect(line).not.toMatch(/MDAxOGxvY2F0aW9u|3kJ9x|AbCdEf_012345/)
      expect(line).toContain('[redacted]')
      if (format === 'json') expect(() => JSON.parse(line!)).not.toThrow()
    })
  }

  test('the fields of a child are no way around', () => {
    const [line] = logged('json', (log) => log.child({ token }).info({}, 'x'))
    expect(line).not.toContain('3kJ9x')
  })

  test('what is no secret stays', () => {
    for (const line of [
      '{"msg":"password login is off"}',
      '{"path":"/_matrix/client/v3/register/m.login.registration_token/validity"}',
      '{"url":"http://127.0.0.1:8008/"}',
      '{"user":"@a:b"}',
      '{"tokens":3}',
    ])
      expect(scrub(line)).toBe(line)
  })
})

test('lines of one turn are written together, and at once when there are many', () => {
  const written: string[] = []
  const output = gatheredOutput({ write: (text) => written.push(text) })
  output.write('a\n')
  output.write('b\n')
  expect(written).toEqual([])
  output.flush()
  output.flush()
  expect(written).toEqual(['a\nb\n'])
  output.write('x'.repeat(70_000))
  expect(written).toHaveLength(2)
})

test('a silent logger takes everything', () => {
  silentLogger.child({ a: 1 }).error({}, 'x')
  expect(silentLogger.enabled('error')).toBe(false)
})
