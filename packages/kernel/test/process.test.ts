import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, describe, expect, test } from '@jest/globals'
import { configFrom, healthAddress, Metrics, type ProcessContext, partContext, silentLogger, startProcess } from '../src/index.ts'

const folder = mkdtempSync(join(tmpdir(), 'weft-process-'))
const children = new Set<ChildProcess>()
afterEach(() => {
  for (const child of children) child.kill('SIGKILL')
})
afterAll(() => rmSync(folder, { recursive: true }))

const environment = {
  WEFT_SERVER_NAME: 'a.b',
  WEFT_INTERNAL_SECRET: '0123456789abcdef',
  DATABASE_URL: 'postgres://h/d',
  REDIS_URL: 'redis://h',
  WEFT_LOG__FORMAT: 'json',
}

interface Entry {
  readonly msg: string
  readonly level: string
  readonly [key: string]: unknown
}

/** Runs test/fixtures/run-main.ts. */
function run(env: Record<string, string>) {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'fixtures', 'run-main.ts')], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  children.add(child)
  const entries: Entry[] = []
  const waiting = new Set<() => void>()
  createInterface(child.stdout).on('line', (line) => {
    entries.push(JSON.parse(line) as Entry)
    for (const wake of waiting) wake()
  })
  let errors = ''
  child.stderr.on('data', (chunk) => {
    errors += String(chunk)
  })
  const ended = once(child, 'close').then(([code]) => ({ code: code as number | null, errors, messages: entries.map(({ msg }) => msg) }))
  const logged = (message: string) =>
    new Promise<Entry>((resolve) => {
      const look = () => {
        const entry = entries.find(({ msg }) => msg === message)
        if (!entry) return
        waiting.delete(look)
        resolve(entry)
      }
      waiting.add(look)
      look()
    })
  return { child, entries, ended, logged }
}

describe('runProcess', () => {
  test('serves health, is ready, and stops cleanly on SIGTERM', async () => {
    const { child, ended, logged, entries } = run(environment)
    const { url, instance } = await logged('health server listens')
    await logged('composed')
    expect(instance).toMatch(/^sync-[0-9a-f]{8}$/)
    expect((await fetch(`${url}/health`)).status).toBe(200)
    const ready = await fetch(`${url}/ready`)
    expect([ready.status, await ready.json()]).toEqual([200, { status: 'ready', parts: { sync: true } }])
    const metrics = await fetch(`${url}/metrics`)
    expect(await metrics.text()).toContain(`weft_process_info{class="sync",process="${instance}"`)
    expect([(await fetch(`${url}/`)).status, (await fetch(`${url}/health`, { method: 'POST' })).status]).toEqual([404, 405])
    child.kill('SIGTERM')
    const { code, messages } = await ended
    expect(code).toBe(0)
    expect(messages.slice(-3)).toEqual(['stopping', 'step ran', 'stopped'])
    expect(JSON.stringify(entries)).not.toContain('0123456789')
  })

  test('a signal during the start stops what was begun', async () => {
    const { child, ended, logged } = run({ ...environment, FIXTURE: 'slow-start' })
    await logged('composing')
    child.kill('SIGINT')
    const { code, messages } = await ended
    expect([code, messages.slice(-2)]).toEqual([0, ['step ran', 'stopped']])
  })

  test('a step that hangs does not outlive the deadline', async () => {
    const { child, ended, logged } = run({ ...environment, FIXTURE: 'hang', WEFT_PROCESS__SHUTDOWN_DEADLINE: '200' })
    await logged('composed')
    child.kill('SIGTERM')
    const { code, messages } = await ended
    expect([code, messages.at(-1)]).toEqual([1, 'did not stop before the deadline'])
  })

  test('a signal that comes twice, as Ctrl-C does under npm, is one', async () => {
    const { child, ended, logged } = run({ ...environment, FIXTURE: 'hang', WEFT_PROCESS__SHUTDOWN_DEADLINE: '200' })
    await logged('composed')
    child.kill('SIGINT')
    await logged('stopping')
    child.kill('SIGINT')
    const { code, messages } = await ended
    expect([code, messages.at(-1)]).toEqual([1, 'did not stop before the deadline'])
  })

  test('SIGHUP, from a terminal that closes, stops it cleanly', async () => {
    const { child, ended, logged } = run(environment)
    await logged('composed')
    child.kill('SIGHUP')
    expect((await ended).code).toBe(0)
  })

  test.each([
    ['fail-start', 'process fails'],
    ['reject', 'unhandled rejection'],
    ['throw', 'uncaught exception'],
    ['fail', 'process fails'],
  ])('%s is logged and ends it with 1', async (mode, message) => {
    const { ended } = run({ ...environment, FIXTURE: mode })
    const { code, messages } = await ended
    expect(code).toBe(1)
    expect(messages).toContain(message)
    if (mode.startsWith('fail')) expect(messages).toContain('step ran')
  })

  test('a refused configuration is told on standard error, with 2', async () => {
    const file = join(folder, 'homeserver.yaml')
    writeFileSync(file, 'server_name: a.b\nlog: {level: loud}\n')
    const { code, errors } = await run({ WEFT_CONFIG: file }).ended
    expect(code).toBe(2)
    expect(errors).toMatch(/^The configuration is refused:\n.*homeserver\.yaml:2:7: log\.level/)
    expect(errors).not.toMatch(/ {4}at /)
  })

  test('what is ignored is warned of', async () => {
    const file = join(folder, 'warned.yaml')
    writeFileSync(file, 'server_name: a.b\npid_file: x\n')
    const { child, ended, logged, entries } = run({ ...environment, WEFT_CONFIG: file })
    await logged('composed')
    child.kill('SIGTERM')
    await ended
    expect(entries.find(({ level }) => level === 'warn')?.msg).toMatch(/warned\.yaml:2:1: pid_file: does nothing here/)
  })
})

describe('startProcess', () => {
  const config = configFrom({ server_name: 'a.b', process: { name: 'one' } })

  test('several process objects live in one OS process, each with metrics and health of its own', async () => {
    const start = (name: string) =>
      startProcess({
        class: 'single',
        config: configFrom({ server_name: 'a.b', process: { name } }),
        log: silentLogger,
        compose: async (context) => {
          for (const part of ['writer', 'sync']) partContext(context, part).lifecycle.setReady(true)
          context.lifecycle.setReady(true)
        },
      })
    const [one, two] = await Promise.all([start('one'), start('two')])
    expect([one.context.instance, two.context.instance]).toEqual(['one', 'two'])
    expect(one.lifecycle.ready).toBe(true)
    await one.stop()
    const address = `http://127.0.0.1:${two.health?.port}`
    expect(await (await fetch(`${address}/ready`)).json()).toEqual({
      status: 'ready',
      parts: { single: true, 'single: writer': true, 'single: sync': true },
    })
    await two.stop()
    await expect(fetch(`${address}/ready`)).rejects.toThrow()
  })

  test('/ready says that it drains while it drains', async () => {
    const release = Promise.withResolvers<void>()
    const running = await startProcess({
      class: 'sync',
      config,
      log: silentLogger,
      compose: async ({ lifecycle }) => {
        lifecycle.setReady(true)
        lifecycle.onStop('held', () => release.promise)
      },
    })
    const stopped = running.stop()
    const answer = await fetch(`http://127.0.0.1:${running.health?.port}/ready`)
    expect([answer.status, await answer.json()]).toEqual([503, { status: 'draining', parts: { sync: true } }])
    release.resolve()
    await stopped
  })

  test('a failure to compose stops what was begun and is thrown on', async () => {
    const seen: string[] = []
    const started = startProcess({
      class: 'sync',
      config,
      log: silentLogger,
      metrics: new Metrics(),
      health: false,
      compose: async ({ lifecycle }: ProcessContext) => {
        lifecycle.onStop('step', () => {
          seen.push('step')
        })
        throw new Error('no database')
      },
    })
    await expect(started).rejects.toThrow('no database')
    expect(seen).toEqual(['step'])
  })

  test('the health address: own port, else the metrics listener, else any free port', () => {
    const address = (values: object) => healthAddress(configFrom({ server_name: 'a.b', ...values }))
    const listeners = [{ port: 8008 }, { port: 9000, type: 'metrics', bind_addresses: ['10.0.0.1'] }]
    expect(address({})).toEqual({ host: '127.0.0.1', port: 0 })
    expect(address({ listeners })).toEqual({ host: '10.0.0.1', port: 9000 })
    expect(address({ listeners, process: { health_port: 0 } })).toEqual({ host: '127.0.0.1', port: 0 })
  })
})
