import { expect, test } from '@jest/globals'
import { z } from 'zod'
import { settingPaths, unreadSettings } from '../../tooling/check-settings.ts'

const schema = z.strictObject({
  server_name: z.string(),
  rc_message: z.union([z.strictObject({ per_second: z.number(), burst_count: z.number() }), z.literal(false)]),
  rc_joins: z.strictObject({ local: z.boolean(), remote: z.boolean() }).prefault({ local: true, remote: true }),
  listeners: z.array(z.strictObject({ port: z.number(), type: z.literal('http') })),
})
const paths = settingPaths(schema)

test('a setting is what can be given one way or another', () => {
  expect(paths).toEqual([['server_name'], ['rc_message'], ['rc_joins', 'local'], ['rc_joins', 'remote'], ['listeners', 'port']])
})

test('a setting that no code takes is found, also where its name is another thing elsewhere', () => {
  const texts = [
    'const { server_name, rc_message: limit } = config',
    'limits.joins = config.rc_joins.local',
    'const remote = socket.remote',
    'for (const { port } of config.listeners) listen(port)',
  ]
  expect(unreadSettings(paths, texts)).toEqual([['rc_joins', 'remote']])
  expect(unreadSettings(paths, [...texts, 'limits.remote = config.rc_joins.remote'])).toEqual([])
})
