import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'

const root = join(import.meta.dirname, '..', '..')
const inForce = [
  'R01',
  'R02',
  'R03',
  'R04',
  'R05',
  'R06',
  'R07',
  'R08',
  'R10',
  'R12',
  'R13',
  'R14',
  'R15',
  'R16',
  'R24',
  'R26',
  'R27',
  'R28',
  'R29',
  'R30',
  'R31',
  'R32',
  'R33',
  'R34',
  'R40',
  'R41',
  'R42',
  'R43',
  'R44',
  'R45',
  'H1',
  'H2',
  'H3',
  'H4',
  'H5',
  'H6',
  'H7',
  'H8',
]

/** The files that docs/security-cases.md names for each case. */
const listed = new Map(
  [...readFileSync(join(root, 'docs', 'security-cases.md'), 'utf8').matchAll(/^\| ([RH]\d+) \|.*\| ([^|]*) \|$/gm)].map(
    ([, name = '', files = '']) => [name, [...files.matchAll(/`([^`]+)`/g)].map(([, file]) => file as string)] as const,
  ),
)

test.each(inForce)('%s is listed with a test', (name) => {
  expect(listed.get(name)?.length ?? 0).toBeGreaterThan(0)
})

test.each([...listed].flatMap(([name, files]) => files.map((file) => [name, file] as const)))(
  '%s is named by a test of %s',
  (name, file) => {
    const titles = readFileSync(join(root, file), 'utf8').matchAll(/\b(?:test|describe)(?:\.each\([\s\S]*?\))?\(\s*(['"`])(.*?)\1,/g)
    expect([...titles].some(([, , title = '']) => new RegExp(`\\b${name}\\b`).test(title))).toBe(true)
  },
)
