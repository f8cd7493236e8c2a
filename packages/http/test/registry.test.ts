import { describe, expect, test } from '@jest/globals'
import { z } from 'zod'
import { type PathParams, Registry, rawJsonObject } from '../src/index.ts'
import { defineEndpoint, echo } from './harness.ts'

describe('Registry', () => {
  test('refuses definitions that contradict themselves or each other', () => {
    const refused: [string, Parameters<typeof echo>[0][]][] = [
      ['two endpoints are called', [{}, { path: '/other' }]],
      ['both answer', [{ id: 'a' }, { id: 'b', path: '/_matrix/client/r0/echo', aliases: ['v3'] }]],
      ['has other parameters', [{ path: '/_matrix/client/v3/{x}', aliases: ['/_matrix/client/r0/{y}'] }]],
      ['no class serves it', [{ servedBy: [] }]],
      ['a GET has no body', [{ body: rawJsonObject }]],
      ['needs a parameter {roomId}', [{ affinity: 'roomId' }]],
      ['counts by user', [{ rateLimit: 'message' }]],
      ['bodyOptional without a body', [{ method: 'POST', bodyOptional: true }]],
      ['query must be a z.object', [{ query: z.record(z.string(), z.string()) }]],
      ['has no version segment', [{ path: '/.well-known/matrix/client', aliases: ['r0'] }]],
    ]
    for (const [message, endpoints] of refused) expect(() => new Registry(endpoints.map((overrides) => echo(overrides)))).toThrow(message)
  })

  test('knows paths, classes and unstable features', () => {
    const first = echo({ id: 'first', aliases: ['r0', 'unstable'], unstableFeatures: ['org.b', 'org.a'] })
    const second = echo({ id: 'second', path: '/second', servedBy: ['sync'], unstableFeatures: ['org.a'] })
    const registry = new Registry([first, second])
    expect(registry.pathsOf(first)).toEqual(['/_matrix/client/v3/echo', '/_matrix/client/r0/echo', '/_matrix/client/unstable/echo'])
    expect(registry.servedBy('sync')).toEqual([second])
    expect(registry.unstableFeatures()).toEqual({ 'org.a': true, 'org.b': true })
    expect(registry.get('first')).toBe(first)
    expect(registry.get('constructor')).toBeUndefined()
  })

  test('types ctx by servedBy and parameters by path', () => {
    const endpoint = defineEndpoint({
      id: 'client.typed',
      method: 'PUT',
      path: '/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey?}',
      auth: 'accessToken',
      servedBy: ['writer'],
      affinity: 'roomId',
      body: rawJsonObject,
      query: z.object({ ts: z.coerce.number().optional() }),
      response: z.object({}),
      async handler({ ctx, params, requester, body, query }) {
        const names: [string, string, string, string] = [ctx.name, params.roomId, params.stateKey, requester.userId]
        const text: string = body.text
        const ts: number | undefined = query.ts
        return { json: { names, text, ts } }
      },
    })
    const params: PathParams<'/x/{a}/{b?}'> = { a: '', b: '' }
    expect([endpoint.id, params]).toEqual(['client.typed', { a: '', b: '' }])
  })
})
