import type { z } from 'zod'
import { type AnyEndpoint, DEFAULT_MAX_BODY_BYTES } from '../endpoint.ts'
import { isRawBody } from '../registry.ts'
import type { Expectation, MalformedHttp, MalformedRequest } from './request.ts'
import { type Shape, sampleOf, shapeOf, valuesOfTypes } from './sample.ts'

const REFUSED: Expectation = { status: 400, errcodes: ['M_BAD_JSON', 'M_INVALID_PARAM', 'M_MISSING_PARAM'] }

function refusedAs(errcode: string, status = 400): Expectation {
  return { status, errcodes: [errcode] }
}

/** Bodies that are wrong, for an endpoint that takes one. `base` is a request that is right in all else. */
export function* bodyCases(endpoint: AnyEndpoint, base: MalformedHttp, sample: object): Generator<MalformedRequest> {
  if (endpoint.body === undefined) return
  const text = JSON.stringify(sample)
  const withBody = (
    name: string,
    body: string | Uint8Array,
    expect: Expectation,
    headers: Record<string, string> = {},
  ): MalformedRequest => ({
    name: `body: ${name}`,
    send: { ...base, body, headers: { ...base.headers, ...headers } },
    expect,
  })
  yield withBody('empty', '', endpoint.bodyOptional === true ? {} : refusedAs('M_NOT_JSON'))
  for (const [name, body] of notJson(text)) yield withBody(name, body, refusedAs('M_NOT_JSON'))
  for (const body of ['[]', 'null', '"text"', '12', 'true', `[${text}]`]) yield withBody(body.slice(0, 20), body, refusedAs('M_BAD_JSON'))
  for (const [name, member] of badMembers) yield withBody(name, addMember(text, member), refusedAs('M_BAD_JSON'))
  const nulExpected = isRawBody(endpoint.body) ? {} : refusedAs('M_BAD_JSON')
  yield withBody('NUL', addMember(text, '"malformed":"a\\u0000b"'), nulExpected)
  yield withBody('NUL in a key', addMember(text, '"a\\u0000b":1'), nulExpected)
  for (const [name, member] of oddMembers) yield withBody(name, addMember(text, member), {})
  const tooLarge = `{"malformed":"${'x'.repeat(endpoint.maxBodyBytes ?? DEFAULT_MAX_BODY_BYTES)}"}`
  yield withBody('too large', tooLarge, refusedAs('M_TOO_LARGE', 413))
  yield withBody('too large, unannounced', tooLarge, refusedAs('M_TOO_LARGE', 413), { 'transfer-encoding': 'chunked' })
  yield withBody('multipart', text, refusedAs('M_NOT_JSON', 415), { 'content-type': 'MultiPart/form-data; boundary=x' })
  yield withBody('compressed', text, refusedAs('M_NOT_JSON', 415), { 'content-encoding': 'gzip' })
  for (const type of ['', 'text/html', 'application/json; charset=utf-16', ';;;'])
    yield withBody(`content type ${type}`, text, {}, { 'content-type': type })
  for (const [name, headers] of badFraming) {
    const bytes = `${base.method} ${base.path} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n\r\n${text}`
    yield { name: `framing: ${name}`, send: { bytes }, expect: { status: 400 } }
  }
  if (!isRawBody(endpoint.body)) yield* fieldCases(endpoint.body, sample, withBody)
}

function notJson(text: string): [name: string, body: string | Uint8Array][] {
  return [
    ['no JSON', 'a=b&c=d'],
    ['truncated', text.slice(0, -1)],
    ['two values', `${text}${text}`],
    ['a byte order mark', `\ufeff${text}`],
    ['a raw NUL', addMember(text, '"malformed":"\0"')],
    ['invalid UTF-8', Buffer.from(addMember(text, '"malformed":"\xff"'), 'latin1')],
    ['UTF-16', Buffer.from(text, 'utf16le')],
    ['a comment', `${text}//`],
    ['NaN', addMember(text, '"malformed":NaN')],
  ]
}

const badMembers: readonly (readonly [name: string, member: string])[] = [
  ['10,000 arrays deep', `"malformed":${'['.repeat(10_000)}${']'.repeat(10_000)}`],
  ['10,000 objects deep', `"malformed":${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`],
  ['a lone surrogate', '"malformed":"\\ud800"'],
  ['a lone surrogate in a key', '"\\udc00":1'],
]

const oddMembers: readonly (readonly [name: string, member: string])[] = [
  ['__proto__', '"__proto__":{"malformed":true,"admin":true}'],
  ['constructor', '"constructor":{"prototype":{"malformed":true}}'],
  ['toString', '"toString":1,"valueOf":1,"hasOwnProperty":1,"toJSON":"x"'],
  ['odd numbers', '"a":1e400,"b":-0,"c":1.50,"d":123456789012345678901234567890'],
  ['a key twice', '"a":1,"a":2'],
  ['a long key', `"${'k'.repeat(5000)}":1`],
  ['an empty key', '"":1'],
]

const badFraming: readonly (readonly [name: string, headers: string])[] = [
  ['a length that is no number', 'Content-Length: abc'],
  ['a negative length', 'Content-Length: -5'],
  ['two lengths', 'Content-Length: 5\r\nContent-Length: 6'],
  ['length and chunks', 'Content-Length: 5\r\nTransfer-Encoding: chunked'],
  ['a chunk that is none', 'Transfer-Encoding: chunked\r\n\r\nzz'],
]

type WithBody = (name: string, body: string, expect: Expectation) => MalformedRequest

/** Each field missing and of each wrong type. The schema itself says which of these are wrong. */
function* fieldCases(schema: z.ZodType, sample: object, withBody: WithBody): Generator<MalformedRequest> {
  const shape = shapeOf(schema)
  const sampleFits = schema.safeParse(sample).success
  for (const key of shape.required ?? []) {
    const without = Object.fromEntries(Object.entries(sample).filter(([name]) => name !== key))
    if (schema.safeParse(without).success) continue
    yield withBody(`${key}: missing`, JSON.stringify(without), sampleFits ? refusedAs('M_MISSING_PARAM') : REFUSED)
  }
  for (const [place, wrong] of wrongValues(shape, sample)) {
    yield withBody(place, JSON.stringify(wrong), schema.safeParse(wrong).success ? {} : REFUSED)
  }
}

function* wrongValues(shape: Shape, sample: unknown): Generator<[place: string, body: unknown]> {
  for (const [key, property] of Object.entries(shape.properties ?? {})) {
    const put = (value: unknown): object => ({ ...(sample as object), [key]: value })
    for (const [type, value] of valuesOfTypes) yield [`${key}: ${type}`, put(value)]
    for (const [place, value] of wrongValues(property, sampleOf(property))) yield [`${key}.${place}`, put(value)]
    if (property.items === undefined) continue
    for (const [type, value] of valuesOfTypes) yield [`${key}[0]: ${type}`, put([value])]
    for (const [place, value] of wrongValues(property.items, sampleOf(property.items))) yield [`${key}[0].${place}`, put([value])]
  }
}

/** Puts a member into the text of an object, at its end, so that it also wins over one of the same name. */
function addMember(text: string, member: string): string {
  const inner = text.slice(0, -1)
  return `${inner}${inner === '{' ? '' : ','}${member}}`
}
