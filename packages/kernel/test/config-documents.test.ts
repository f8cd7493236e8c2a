import { describe, expect, test } from '@jest/globals'
import { inertSettings } from '../src/config/synapse-keys.ts'
import {
  configFrom,
  configJsonSchema,
  configSchema,
  parseConfigText,
  renderConfigDoc,
  renderSampleConfig,
  renderTryOutConfig,
} from '../src/index.ts'

const internal_secret = '0123456789abcdef'

test('every setting is described', () => {
  const undescribed: string[] = []
  const walk = (path: string, schema: { description?: string; properties?: object; items?: object; anyOf?: readonly object[] }): void => {
    for (const [key, inner] of Object.entries(schema.properties ?? {})) {
      if (inner.description === undefined) undescribed.push(`${path}${key}`)
      walk(`${path}${key}.`, inner)
    }
    if (schema.items) walk(path, schema.items)
    for (const form of schema.anyOf ?? []) walk(path, form)
  }
  walk('', configJsonSchema())
  expect(undescribed).toEqual([])
  for (const key of Object.keys(configSchema.shape)) expect(renderConfigDoc()).toContain(`### \`${key}\``)
})

test('a setting of ours is not among those that do nothing', () => {
  const top = inertSettings.filter(({ path }) => path.length === 1).map(({ path }) => path[0]!)
  expect(top.filter((key) => Object.hasOwn(configSchema.shape, key))).toEqual([])
  expect(new Set(top).size).toBe(top.length)
})

test('the JSON Schema is closed and tells what is required', () => {
  expect(configJsonSchema()).toMatchObject({ type: 'object', additionalProperties: false, required: ['server_name'] })
  expect(JSON.parse(JSON.stringify(configJsonSchema()))).toEqual(configJsonSchema())
})

describe('sample', () => {
  const text = renderSampleConfig({ serverName: 'example.org', values: { internal_secret } })

  test('loads without a warning, closed and with the limits of the defaults', () => {
    const config = parseConfigText(text, { onWarning: (warning) => expect(warning).toBeUndefined() })
    const { listeners, ...rest } = config
    const { listeners: _, ...defaults } = configFrom({ server_name: 'example.org', internal_secret })
    expect(rest).toEqual(defaults)
    expect(listeners).toEqual([{ port: 8008, bind_addresses: ['127.0.0.1', '::1'], type: 'http', x_forwarded: true, tls: false }])
  })

  test('names every setting, and what is commented out is the default', () => {
    for (const key of Object.keys(configSchema.shape)) expect(text).toMatch(new RegExp(`^#?${key}:`, 'm'))
    const limits = text.slice(text.indexOf('## Rate limits')).replaceAll(/^#(?=[a-z ] ?[a-z])/gm, '')
    expect(
      parseConfigText(`server_name: example.org\ninternal_secret: ${internal_secret}\n${limits.replaceAll(/^##? .*$/gm, '')}`).rc_login,
    ).toEqual(configFrom({ server_name: 'a.b' }).rc_login)
  })

  test('does not start as it is, since it has no secret', () => {
    expect(() => parseConfigText(renderSampleConfig({ serverName: 'example.org' }))).toThrow(/internal_secret: is missing/)
  })
})

describe('try-out file', () => {
  const options = { serverName: 'localhost:8008', internalSecret: internal_secret, registrationSharedSecret: 'x y: z' }
  const text = renderTryOutConfig(options)

  test('is open, without limits, on loopback, and says so', () => {
    const config = parseConfigText(text, { onWarning: (warning) => expect(warning).toBeUndefined() })
    expect(config).toMatchObject({
      server_name: 'localhost:8008',
      public_baseurl: 'http://127.0.0.1:8008/',
      enable_registration: true,
      registration_shared_secret: 'x y: z',
      rc_message: false,
      rc_registration: false,
      rc_registration_token_validity: false,
      rc_login: { address: false, account: false, failed_attempts: false },
      rc_joins: { local: false },
      rc_invites: { per_room: false, per_user: false, per_issuer: false },
      rc_room_creation: false,
    })
    expect(text).toMatch(/FOR TRYING OUT/)
    expect(text).toMatch(/Registration is open/)
  })

  test('refuses to start once it listens elsewhere', () => {
    expect(() => parseConfigText(text.replace('127.0.0.1\n', '0.0.0.0\n'))).toThrow(/enable_registration: is open to all who come/)
  })

  test('takes another port and further settings', () => {
    const config = parseConfigText(renderTryOutConfig({ ...options, port: 9999, signingKeyPath: 'k', values: { log: { level: 'warn' } } }))
    expect([config.listeners[0]?.port, config.public_baseurl, config.log.level]).toEqual([9999, 'http://127.0.0.1:9999/', 'warn'])
  })
})
