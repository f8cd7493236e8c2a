import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  canonicalJson,
  checkCanonical,
  compareCodePoints,
  isJsonObject,
  type JsonObject,
  type JsonValue,
  jsonDepthExceeds,
  MatrixError,
  own,
  parseJson,
  parseJsonBytes,
  RawNumber,
  strictCanonicalJson,
} from '../src/index.ts'

const errcodeOf = (act: () => unknown): string => {
  try {
    act()
  } catch (error) {
    if (error instanceof MatrixError) return error.errcode
    throw error
  }
  return 'no error'
}

const jsonValue = fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<JsonValue>
const integerJson = fc.letrec<{ value: JsonValue }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.maxSafeInteger().map((n) => n + 0),
    fc.string({ unit: 'grapheme' }),
    fc.boolean(),
    fc.constant(null),
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(fc.string({ unit: 'grapheme' }), tie('value'), { maxKeys: 4 }),
  ),
})).value

describe('canonical JSON, vectors of the spec (appendices, "Canonical JSON", "Examples")', () => {
  test.each([
    ['{}', '{}'],
    ['{"one": 1, "two": "Two"}', '{"one":1,"two":"Two"}'],
    ['{"b": "2", "a": "1"}', '{"a":"1","b":"2"}'],
    [
      '{"auth":{"success":true,"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"medium":"email","address":"john.doe@example.org"},{"medium":"msisdn","address":"123456789"}]}}}',
      '{"auth":{"mxid":"@john.doe:example.com","profile":{"display_name":"John Doe","three_pids":[{"address":"john.doe@example.org","medium":"email"},{"address":"123456789","medium":"msisdn"}]},"success":true}}',
    ],
    ['{"a": "日本語"}', '{"a":"日本語"}'],
    ['{"本": 2, "日": 1}', '{"日":1,"本":2}'],
    ['{"a": "\\u65E5"}', '{"a":"日"}'],
    ['{"a": null}', '{"a":null}'],
  ])('%s', (input, expected) => {
    expect(canonicalJson(parseJson(input))).toBe(expected)
  })

  test('the vector of -0 and 1e10 speaks of numbers already read', () => {
    expect(canonicalJson(JSON.parse('{"a": -0, "b": 1e10}'))).toBe('{"a":0,"b":10000000000}')
  })
})

describe('canonical JSON', () => {
  test('keys are ordered by code point, not by UTF-16 unit, and integer-like keys as text', () => {
    expect(canonicalJson({ '\u{1f600}': 1, '\uffee': 2, '10': 3, '9': 4 })).toBe('{"10":3,"9":4,"\uffee":2,"\u{1f600}":1}')
  })

  test('strings are escaped as the grammar asks', () => {
    expect(canonicalJson('\u0000\u0007\b\t\n\u000b\f\r\u001f"\\/\u007f\u2028')).toBe(
      '"\\u0000\\u0007\\b\\t\\n\\u000b\\f\\r\\u001f\\"\\\\/\u007f\u2028"',
    )
  })

  test('any JSON comes back from its canonical form', () => {
    fc.assert(fc.property(integerJson, (value) => expect(parseJson(canonicalJson(value))).toEqual(value)))
  })

  test('the form does not depend on the order of keys, and is a fixed point', () => {
    fc.assert(
      fc.property(integerJson, (value) => {
        const text = canonicalJson(value)
        expect(canonicalJson(reversed(value))).toBe(text)
        expect(canonicalJson(parseJson(text))).toBe(text)
        expect(strictCanonicalJson(value)).toBe(text)
      }),
    )
  })

  test('code points order as UTF-8 bytes do', () => {
    const text = fc.string({ unit: 'binary', maxLength: 6 })
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(Math.sign(compareCodePoints(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)))
      }),
    )
  })

  test.each<[string, JsonValue]>([
    ['a float', 1.5],
    ['beyond 2^53', 2 ** 53],
    ['a raw number', new RawNumber('1e3')],
    ['a lone surrogate', '\ud800'],
    ['a lone surrogate in a key', { 'a\udc00': 1 }],
    ['something deep', [{ a: [{ b: new RawNumber('1.0') }] }]],
  ])('R01 strict form refuses %s', (_name, value) => {
    expect(checkCanonical(value).ok).toBe(false)
    expect(errcodeOf(() => strictCanonicalJson(value))).toBe('M_BAD_JSON')
  })
})

describe('parseJson', () => {
  test.each(['1.5', '1.0', '1e3', '1E3', '-0', '9007199254740992', '-9007199254740992', '123456789012345678901234567890', '1e999', '0.1'])(
    'R01 keeps %s as its source text',
    (source) => {
      for (const text of [source, `[${source}]`, `{"a":{"b": ${source} }}`, `[1,${source}]`, `[ \n${source}\t]`]) {
        const value = parseJson(text)
        expect(canonicalJson(value)).toContain(source)
        expect(JSON.stringify(value)).toContain(source)
        expect(checkCanonical(value).ok).toBe(false)
      }
    },
  )

  test.each(['0', '-1', '9007199254740991', '-9007199254740991', '1732735824653'])('%s is a number', (source) => {
    expect(parseJson(`{"a":${source}}`)).toEqual({ a: Number(source) })
  })

  test('numbers are judged alike when something risky stands beside them', () => {
    const value = parseJson('{"a":9007199254740991,"b":1.5,"c":"1.5"}') as JsonObject
    expect(value.a).toBe(9007199254740991)
    expect(value.b).toBeInstanceOf(RawNumber)
    expect(value.c).toBe('1.5')
  })

  test('any JSON keeps its numbers', () => {
    fc.assert(
      fc.property(jsonValue, (value) => {
        const text = JSON.stringify(value)
        expect(JSON.parse(JSON.stringify(parseJson(text, { allowLoneSurrogates: true })))).toEqual(JSON.parse(text))
      }),
    )
  })

  test('R03 the last of duplicate keys counts', () => {
    expect(parseJson('{"a":1,"a":2}')).toEqual({ a: 2 })
  })

  test('R03 lone surrogates are refused, pairs are not', () => {
    expect(errcodeOf(() => parseJson('{"a":"\\ud800"}'))).toBe('M_BAD_JSON')
    expect(errcodeOf(() => parseJson('{"a\\uDC00":1}'))).toBe('M_BAD_JSON')
    expect(errcodeOf(() => parseJson('"\ud800"'))).toBe('M_BAD_JSON')
    expect(parseJson('"\\ud83d\\ude00"')).toBe('😀')
    expect(parseJson('"\\\\ud800"')).toBe('\\ud800')
    expect(parseJson('"\\ud800"', { allowLoneSurrogates: true })).toBe('\ud800')
  })

  test('R03 NUL is kept and is no normalisation of anything', () => {
    expect(canonicalJson(parseJson('{"a":"\\u0000e\\u0301"}'))).toBe('{"a":"\\u0000e\u0301"}')
  })

  test.each([
    ['invalid UTF-8', [0x22, 0xff, 0x22]],
    ['an overlong form', [0x22, 0xc0, 0x80, 0x22]],
    ['a surrogate in UTF-8', [0x22, 0xed, 0xa0, 0x80, 0x22]],
    ['a byte order mark', [0xef, 0xbb, 0xbf, 0x7b, 0x7d]],
    ['nothing', []],
  ])('R03 %s is refused', (_name, bytes) => {
    expect(errcodeOf(() => parseJsonBytes(Uint8Array.from(bytes)))).toBe('M_NOT_JSON')
  })

  test('R04 nesting beyond the limit is refused before parsing', () => {
    expect(errcodeOf(() => parseJson('['.repeat(10_000) + ']'.repeat(10_000)))).toBe('M_BAD_JSON')
    expect(errcodeOf(() => parseJson('[1.5,'.repeat(1_000_000)))).toBe('M_BAD_JSON')
    expect(errcodeOf(() => parseJson(`${'{"a":'.repeat(101)}1${'}'.repeat(101)}`))).toBe('M_BAD_JSON')
    expect(errcodeOf(() => parseJson(`${'{"a":'.repeat(100)}1.5${'}'.repeat(100)}`))).toBe('no error')
    expect(errcodeOf(() => canonicalJson(parseJson(`${'['.repeat(1000)}1.5${']'.repeat(1000)}`, { maxDepth: 1000 })))).toBe('no error')
  })

  test('R04 brackets in strings are no nesting', () => {
    expect(jsonDepthExceeds(JSON.stringify({ a: '['.repeat(500), b: '\\"[[[[[' }), 3)).toBe(false)
    expect(jsonDepthExceeds('[[[["]"]]]]', 3)).toBe(true)
  })

  test('R43 __proto__ is a key like any other', () => {
    for (const text of ['{"__proto__":{"a":1},"constructor":2}', '{"__proto__":{"a":1.5},"constructor":2}']) {
      const value = parseJson(text) as JsonObject
      expect(Object.keys(value)).toEqual(['__proto__', 'constructor'])
      expect(isJsonObject(own(value, '__proto__'))).toBe(true)
      expect(own(value, 'toString')).toBeUndefined()
      expect(own(value, 'a')).toBeUndefined()
      expect(canonicalJson(value)).toBe(text)
    }
  })

  test.each(['', '{', '{"a":}', 'nul', '{"a":01}', '{"a":1.}', "{'a':1}", '[1,]', '\ufeff{}'])('R03 %p is no JSON', (text) => {
    expect(errcodeOf(() => parseJson(text))).toBe('M_NOT_JSON')
  })
})

function reversed(value: JsonValue): JsonValue {
  if (Array.isArray(value)) return value.map(reversed)
  if (!isJsonObject(value)) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, item]) => [key, reversed(item)]),
  )
}
