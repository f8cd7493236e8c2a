import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { freePort, isFree, isRunning, redisProgram } from '@weft/testkit'
import { endAll, gone, processesOf, temporaryFolder, Weft, weft } from './weft.ts'

let folder: ReturnType<typeof temporaryFolder>
let server: Weft
let port: number

const listFile = () => join(folder.path, 'data/processes.json')
const launch = (): Weft =>
  new Weft(['start', '--split', '--replicas', 'sync=2,router=2,writer=2'], {
    cwd: folder.path,
    env: { WEFT_LISTENERS__0__PORT: String(port) },
  })
const processes = async (): Promise<Record<string, number>> => JSON.parse(await readFile(listFile(), 'utf8')) as Record<string, number>

/** Resolves once another process has the name, to its id. */
async function anotherFor(name: string, before: number): Promise<number> {
  for (;;) {
    const pid = (await processes())[name]
    if (typeof pid === 'number' && pid !== before) return pid
  }
}

async function answers(at: number): Promise<void> {
  for (;;) {
    const ok = await fetch(`http://127.0.0.1:${at}/_matrix/client/versions`).then(
      (response) => response.ok,
      () => false,
    )
    if (ok) return
  }
}

const suite = redisProgram() === undefined ? describe.skip : describe
suite('start --split', () => {
  beforeAll(async () => {
    folder = temporaryFolder()
    // Two routers need two neighbours.
    do port = await freePort()
    while (!(await isFree(port + 1)))
    server = launch()
    await server.says(/To stop:/)
  })
  afterAll(async () => {
    await endAll()
    await folder.remove()
  })

  test('runs as many of each class as it was told to, and lists them', async () => {
    const list = await processes()
    expect(Object.keys(list).sort()).toEqual(['postgres', 'redis', 'router-1', 'router-2', 'sync-1', 'sync-2', 'writer-1', 'writer-2'])
    expect(Object.values(list).every(isRunning)).toBe(true)
    expect(server.out).toContain(`Weft answers at http://127.0.0.1:${port} as localhost.`)
    expect(server.out).toContain(`Routers on ports ${port}, ${port + 1}.`)
    expect(server.out).toContain(listFile())
    await Promise.all([answers(port), answers(port + 1)])
  })

  test.each(['sync-1', 'router-2', 'redis'])('%s is started again after kill -9', async (name) => {
    const before = (await processes())[name] as number
    process.kill(before, 'SIGKILL')
    const after = await anotherFor(name, before)
    expect(isRunning(after)).toBe(true)
    await server.says(new RegExp(`a child ended: it is started again child=${name} how=SIGKILL restartInMs=100`))
    await Promise.all([answers(port), answers(port + 1)])
  })

  test('another on the same port is refused before it starts anything', async () => {
    const other = temporaryFolder()
    const { code, err } = await weft(['start', '--split', '--replicas', 'router=2'], {
      cwd: other.path,
      env: { WEFT_LISTENERS__0__PORT: String(port) },
    })
    expect([code, err]).toEqual([1, expect.stringMatching(new RegExp(`^weft: 127\\.0\\.0\\.1:${port} is taken by another program`))])
    expect(existsSync(join(other.path, 'data/postgres'))).toBe(false)
    await other.remove()
  })

  test('another in the same folder is refused, and leaves the list of the first alone', async () => {
    const before = await processes()
    const { code, err } = await weft(['start', '--split'], {
      cwd: folder.path,
      env: { WEFT_LISTENERS__0__PORT: String(await freePort()) },
    })
    expect([code, err]).toEqual([1, expect.stringContaining('is in use by another weft')])
    expect(await processes()).toEqual(before)
  })

  test('kill -9 of what started them all leaves nothing behind', async () => {
    const pids = Object.values(await processes())
    server.signal('SIGKILL')
    await gone([server.pid, ...pids])
    expect(processesOf(folder.path)).toEqual([])
  })

  test('Ctrl-C ends all of it, in order', async () => {
    server = launch()
    await server.says(/To stop:/)
    expect(processesOf(folder.path).length).toBeGreaterThanOrEqual(8)
    server.signal('SIGINT')
    const { code, out, err } = await server.stop()
    expect([code, err]).toEqual([0, ''])
    expect(out).not.toMatch(/ERROR|is not to be reached|was lost/)
    expect(processesOf(folder.path)).toEqual([])
    expect(existsSync(listFile())).toBe(false)
  })

  test('Ctrl-C while it starts leaves nothing behind', async () => {
    server = launch()
    // PostgreSQL runs, and the processes are being started.
    while (!existsSync(listFile())) await new Promise((resolve) => setImmediate(resolve))
    expect(processesOf(folder.path).length).toBeGreaterThan(0)
    expect((await server.stop()).code).toBe(0)
    expect(processesOf(folder.path)).toEqual([])
    expect(existsSync(listFile())).toBe(false)
  })
})
