import { execFile, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** Programs of one release. */
export interface PrometheusPrograms {
  readonly prometheus: string
  readonly promtool: string
}

/** No Prometheus is to be had on this machine; the message says why. */
export class PrometheusUnavailable extends Error {
  override readonly name = 'PrometheusUnavailable'
}

/**
 * Prometheus: on PATH, else Debian's package, unpacked into `cacheDir` rather than installed, so that nothing of it is started or stays.
 * @throws PrometheusUnavailable
 */
export async function findPrometheus(cacheDir: string): Promise<PrometheusPrograms> {
  if (answers('prometheus') && answers('promtool')) return { prometheus: 'prometheus', promtool: 'promtool' }
  const programs = { prometheus: join(cacheDir, 'usr/bin/prometheus'), promtool: join(cacheDir, 'usr/bin/promtool') }
  if (existsSync(programs.prometheus)) return programs
  try {
    await unpack(cacheDir)
    return programs
  } catch (error) {
    const why = error instanceof Error ? error.message.trim().split('\n').at(-1) : String(error)
    throw new PrometheusUnavailable(`no prometheus on PATH, and none through apt: ${why}`)
  }
}

async function unpack(cacheDir: string): Promise<void> {
  process.stderr.write('weft: fetching Debian’s package of Prometheus\n')
  const folder = await mkdtemp(join(tmpdir(), 'weft-prometheus-'))
  try {
    // apt fetches as a user of its own, who has to reach the folder.
    await chmod(folder, 0o755)
    const download = () => run('apt-get', ['download', '-q', 'prometheus'], { cwd: folder })
    // A machine may have no lists of packages yet.
    await download().catch(() => run('apt-get', ['update', '-q']).then(download))
    const file = (await readdir(folder)).find((name) => name.endsWith('.deb'))
    if (file === undefined) throw new Error('apt-get brought no package')
    await run('dpkg-deb', ['--extract', join(folder, file), join(folder, 'unpacked')])
    await rm(cacheDir, { recursive: true, force: true })
    await run('cp', ['-r', join(folder, 'unpacked'), `${cacheDir}.${process.pid}`])
    // In one step, so that nobody ever runs half a program.
    await rename(`${cacheDir}.${process.pid}`, cacheDir)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function answers(program: string): boolean {
  return spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0
}
