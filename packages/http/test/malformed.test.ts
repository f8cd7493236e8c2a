import { describe, expect, test } from '@jest/globals'
import { isJsonObject, type JsonObject, type JsonValue, MatrixError } from '@weft/matrix'
import { z } from 'zod'
import { type AnyEndpoint, rawJsonObject } from '../src/index.ts'
import { faultOf, type MalformedRequest, malformedRequests, sendMalformed } from '../src/malformed/index.ts'
import { echo, startServer, type TestServer } from './harness.ts'

const endpoints: AnyEndpoint[] = [
  echo({ id: 'versions', path: '/_matrix/client/versions' }),
  echo({
    id: 'sync',
    path: '/_matrix/client/v3/sync',
    auth: 'accessToken',
    query: z.object({
      since: z.string().optional(),
      timeout: z.coerce.number().int().min(0).optional(),
      full_state: z.enum(['true', 'false']).optional(),
    }),
  }),
  echo({
    id: 'messages',
    path: '/_matrix/client/v3/rooms/{roomId}/messages',
    auth: 'optionalAccessToken',
    query: z.object({ dir: z.enum(['b', 'f']), limit: z.coerce.number().int().optional() }),
  }),
  echo({
    id: 'putState',
    method: 'PUT',
    path: '/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey?}',
    auth: 'accessToken',
    body: rawJsonObject,
  }),
  echo({ id: 'pushrules', path: '/_matrix/client/v3/pushrules/' }),
  echo({
    id: 'createRoom',
    method: 'POST',
    path: '/_matrix/client/v3/createRoom',
    auth: 'accessToken',
    body: z.object({
      preset: z.enum(['private_chat', 'public_chat']),
      invite: z.array(z.string()).optional(),
      initial_state: z.array(z.object({ type: z.string(), content: z.custom<JsonValue>(isJsonObject) })).optional(),
      is_direct: z.boolean().default(false),
      inner: z.object({ count: z.int() }),
    }),
  }),
  echo({
    id: 'leave',
    method: 'POST',
    path: '/_matrix/client/v3/rooms/{roomId}/leave',
    auth: 'none',
    body: z.object({ reason: z.string().optional() }),
    bodyOptional: true,
  }),
]

async function faultsOf(server: TestServer, endpoint: AnyEndpoint): Promise<{ sent: number; faults: string[] }> {
  const target = { host: '127.0.0.1', port: server.port, accessToken: () => 'wft_alice_1' }
  const faults: string[] = []
  let sent = 0
  for (const request of malformedRequests(endpoint)) {
    sent++
    const fault = faultOf(request, await sendMalformed(target, request))
    if (fault !== undefined) faults.push(`${endpoint.id}, ${request.name}: ${fault}`)
  }
  return { sent, faults }
}

describe('malformedRequests', () => {
  test.each(endpoints.map((endpoint) => [endpoint.id, endpoint] as const))(
    '%s answers all of them as the specification has it',
    async (_id, endpoint) => {
      await using server = await startServer(endpoints)
      const { sent, faults } = await faultsOf(server, endpoint)
      expect(faults).toEqual([])
      expect(sent).toBeGreaterThan(10)
      expect(server.lines.filter((line) => line.level === 'error')).toEqual([])
    },
  )

  test('finds a handler that trips over an own-property trap, a wrong type or NUL', async () => {
    const careless = echo({
      id: 'careless',
      method: 'PUT',
      path: '/careless/{name}',
      body: rawJsonObject,
      async handler({ params, body }: { params: { name: string }; body: { value: JsonObject } }) {
        const known: Record<string, string> = { a: 'b' }
        const text = JSON.stringify(body.value)
        if (text.includes('\\u0000')) throw new Error('invalid byte sequence for encoding "UTF8": 0x00')
        return { json: { found: (known[params.name] ?? 'none').toUpperCase() } }
      },
    })
    await using server = await startServer([careless])
    const { faults } = await faultsOf(server, careless)
    expect(faults.filter((fault) => fault.includes('500'))).toEqual(
      expect.arrayContaining([
        expect.stringContaining('path: name: __proto__'),
        expect.stringContaining('path: name: constructor'),
        expect.stringContaining('body: NUL'),
      ]),
    )
  })
})

describe('faultOf', () => {
  const request: MalformedRequest = { name: 'x', send: { bytes: '' }, expect: { status: 400, errcodes: ['M_NOT_JSON'] } }
  const json = 'application/json'

  test('wants the expected status and errcode, in JSON', () => {
    const right = new MatrixError('M_NOT_JSON', 'x').toJSON()
    expect(faultOf(request, { status: 400, contentType: json, text: JSON.stringify(right) })).toBeUndefined()
    expect(faultOf(request, { status: 403, contentType: json, text: JSON.stringify(right) })).toContain('not 400')
    expect(faultOf(request, { status: 400, contentType: json, text: '{"errcode":"M_BAD_JSON","error":""}' })).toContain('not M_NOT_JSON')
    expect(faultOf(request, { status: 400, contentType: json, text: '{"errcode":"M_NOT_JSON"}' })).toContain('without errcode and error')
    expect(faultOf(request, { status: 400, contentType: 'text/html', text: JSON.stringify(right) })).toContain('as text/html')
    expect(faultOf(request, { status: 400, contentType: json, text: '<html>' })).toContain('no JSON object')
    expect(faultOf({ ...request, expect: {} }, { status: 500, contentType: json, text: '{"errcode":"M_UNKNOWN","error":""}' })).toContain(
      'answered 500',
    )
    expect(faultOf({ ...request, expect: {} }, { status: 401, contentType: json, text: '{"flows":[]}' })).toBeUndefined()
    expect(faultOf({ ...request, expect: {} }, { status: 200, contentType: undefined, text: '' })).toBeUndefined()
  })
})
