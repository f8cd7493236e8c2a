import { expect, test } from '@jest/globals'
import { registry } from '@weft/api'
import { documents } from '../src/documents.ts'
import { Weft, weft } from './weft.ts'

test('docs prints each document, as its file has it', async () => {
  const names = documents.map(({ name }) => name)
  const printed = await Promise.all(names.map((name) => weft(['docs', name])))
  for (const [i, document] of documents.entries()) {
    expect(printed[i]).toEqual({ code: 0, out: `${(await document.render()).trimEnd()}\n`, err: '' })
  }
  expect(names).toContain('configuration')
})

test('who has read enough of a document is told no error', async () => {
  const printing = new Weft(['docs', 'configuration'])
  printing.leave()
  expect(await printing.ended).toEqual({ code: 141, out: '', err: '' })
})

test('routes has every way to every endpoint, in each format', async () => {
  const [table, nginx, haproxy, config] = await Promise.all(
    ['table', 'nginx', 'haproxy', 'haproxy-config'].map(async (format) => {
      const { code, out, err } = await weft(['routes', '--format', format])
      expect([code, err]).toEqual([0, ''])
      return out
    }),
  )
  const routes = registry.endpoints.flatMap((endpoint) => registry.pathsOf(endpoint).map((path) => [endpoint.method, path] as const))
  expect(routes.length).toBeGreaterThan(100)
  for (const [method, path] of routes) {
    const row = table?.split('\n').find((line) => line.startsWith(`${method} `) && line.split(/\s+/).includes(path))
    expect([path, row]).toEqual([path, expect.any(String)])
  }
  const countOf = (text: string | undefined, pattern: RegExp) => text?.match(pattern)?.length
  expect(countOf(haproxy, /^\^.* weft_(writer|sync):\d+$/gm)).toBe(routes.length)
  expect(nginx?.split('map "$request_method')[1]?.match(/^ {4}"~\^.*" weft_\w+;$/gm)?.length).toBe(routes.length)
  expect(config).toMatch(/^frontend weft$/m)
})
