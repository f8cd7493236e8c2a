import { expect, test } from '@jest/globals'
import { decodeSyncToken, encodeSyncToken } from '../src/index.ts'

const positions = { events: 12, receipts: 3, typing: 1_700_000_000_004, accountData: 5, toDevice: 6 }

test('a token says how far each stream was seen', () => {
  const token = encodeSyncToken(positions)
  expect(token).toBe('s12_r3_t1700000000004_a5_d6')
  expect(decodeSyncToken(token)).toEqual({ positions, instances: {} })
})

test('a token of another version: unknown letters are passed over, missing ones are absent', () => {
  expect(decodeSyncToken('s12_z99_r3')).toEqual({ positions: { events: 12, receipts: 3 }, instances: {} })
})

test('more writers are no change of format', () => {
  const token = decodeSyncToken('s12~writer2.15~writer-3.9_r3')
  expect(token?.positions).toEqual({ events: 12, receipts: 3 })
  expect(token?.instances.events).toEqual(
    new Map([
      ['writer2', 15],
      ['writer-3', 9],
    ]),
  )
})

test.each([
  '',
  's',
  's-1',
  's1.5',
  's12_',
  '_s12',
  's12_s13',
  'r3',
  's99999999999999999',
  's12~w',
  's12~.3',
  't12-34_56',
  '__proto__',
  'constructor',
  's1'.repeat(600),
  's12 ',
  's12\u0000',
])('no sync token: %j', (text) => {
  expect(decodeSyncToken(text)).toBeUndefined()
})
