import { describe, expect, test } from '@jest/globals'
import { cli } from '../src/cli.ts'
import { type Ended, weft } from './weft.ts'

/** A command that ends before it begins, in this process. */
async function parse(args: readonly string[]): Promise<Ended> {
  let out = ''
  let err = ''
  const code = await cli(['node', 'weft', ...args], {
    out: (text) => {
      out += text
    },
    err: (text) => {
      err += text
    },
  })
  return { code: code ?? null, out, err }
}

const commands = ['start', 'run', 'migrate', 'register-user', 'room', 'generate-config', 'check-config', 'routes', 'docs']

describe('help', () => {
  test('lists every command and says how to begin', async () => {
    const { code, out, err } = await weft(['--help'])
    expect([code, err]).toEqual([0, ''])
    for (const command of commands) expect(out).toMatch(new RegExp(`^ {2}${command} `, 'm'))
    expect(out).toMatch(/Try it out: +weft start\n/)
    // A line longer than a terminal would be broken by it, not by us.
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
  })

  test.each(commands)('of %s names its options and has an example', async (command) => {
    const [one, other] = [await parse([command, '--help']), await parse(['help', command])]
    expect([one.code, one.err]).toEqual([0, ''])
    expect(other).toEqual(one)
    expect(one.out).toMatch(new RegExp(`^Usage: weft ${command} `))
    expect(one.out).toMatch(new RegExp(`\nExamples:\n  weft ${command}`))
    for (const [option] of one.out.matchAll(/^ {2}-.*$/gm)) expect(option).toMatch(/ {2,}\S|^ {2}--?\S+( <\S+>)?$/)
  })

  test('without a command it is an error', async () => {
    const { code, out, err } = await parse([])
    expect([code, out]).toEqual([2, ''])
    expect(err).toMatch(/^Usage: weft \[options\] \[command\]/)
  })

  test('the version is printed', async () => {
    expect(await parse(['--version'])).toEqual({ code: 0, out: '0.1.0\n', err: '' })
  })
})

describe('what cannot be run is told in a line, with exit code 2', () => {
  test.each<[string, string[], RegExp]>([
    ['an unknown command', ['strat'], /unknown command 'strat'\n\(Did you mean start\?\)\n\('weft --help' lists the commands\)\n$/],
    [
      'an unknown option',
      ['start', '--spilt'],
      /unknown option '--spilt'\n\(Did you mean --split\?\)\n\('weft start --help' explains it\)\n$/,
    ],
    ['an argument too many', ['migrate', 'now'], /too many arguments for 'migrate'/],
    ['a missing argument', ['run'], /missing required argument 'class'\n\('weft run --help' explains it\)/],
    ['an option without its value', ['start', '--config'], /option '-c, --config <file>' argument missing/],
    ['a missing option', ['register-user'], /required option '-u, --user <localpart>' not specified/],
    ['an unknown class', ['run', 'media'], /^weft: there is no class media: router, writer or sync\n$/],
    ['a class that is every object’s', ['run', 'constructor'], /^weft: there is no class constructor/],
    [
      'an unknown format',
      ['routes', '--format', 'toString'],
      /^weft: there is no format toString: table, nginx, haproxy, haproxy-config\n$/,
    ],
    ['an unknown document', ['docs', 'all'], /^weft: there is no document all: workers, configuration, /],
    ['replicas without --split', ['start', '--replicas', 'sync=2'], /^weft: --replicas goes with --split\n$/],
    [
      'a class that has no replicas',
      ['start', '--split', '--replicas', 'sync=2,media=1'],
      /"media=1" is not CLASS=COUNT: a class is router, writer, sync/,
    ],
    ['no process of a class', ['start', '--split', '--replicas', 'sync=0'], /"sync=0" is not CLASS=COUNT: .* a count 1 to 64/],
    ['too many processes', ['start', '--split', '--replicas', 'sync=65'], /"sync=65" is not CLASS=COUNT/],
    ['half of a count', ['start', '--split', '--replicas', 'sync='], /"sync=" is not CLASS=COUNT.* Example: sync=2,router=2/],
    ['a class twice', ['start', '--split', '--replicas', 'sync=1,sync=2'], /sync is given twice/],
  ])('%s', async (_, args, message) => {
    const { code, out, err } = await parse(args)
    expect([code, out]).toEqual([2, ''])
    expect(err).toMatch(message)
    expect(err).not.toMatch(/\n {4}at /)
  })
})
