/**
 * `npm start`, `npm run weft` and `npm test` on a machine that has Node >= 20 and nothing else: installs what pnpm-lock.yaml pins, then
 * runs the pinned Node 24 on the sources. Plain JavaScript without dependencies, because it runs before anything is installed.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const stampFile = join(root, 'node_modules', '.weft-installed.json')
const signals = ['SIGTERM', 'SIGINT', 'SIGHUP']
const oldest = 20
const wanted = 24

class Failure extends Error {}

try {
  const [task, ...args] = process.argv.slice(2)
  if (Number.parseInt(process.versions.node, 10) < oldest)
    throw new Failure(`Node ${process.version} is too old: ${oldest} or later is needed.`)
  if (task === 'start') await weft(['start', ...args])
  else if (task === 'weft') await weft(args)
  else if (task === 'test') await test(args)
  else throw new Failure('usage: node tooling/bootstrap.mjs start|weft|test [arguments]')
} catch (error) {
  if (!(error instanceof Failure)) throw error
  process.stderr.write(`weft: ${error.message}\n`)
  process.exit(1)
}

async function weft(args) {
  await install({ development: false })
  become(pinnedNode(), ['--disable-warning=ExperimentalWarning', join(root, 'apps', 'weft', 'src', 'main.ts'), ...args])
}

async function test(args) {
  await install({ development: true })
  const node = pinnedNode()
  spawnSync(node, ['--disable-warning=ExperimentalWarning', join(root, 'tooling', 'ensure-redis.ts')], { stdio: 'inherit' })
  const jest = join(root, 'node_modules', 'jest', 'bin', 'jest.js')
  process.chdir(root)
  become(node, ['--experimental-vm-modules', '--disable-warning=ExperimentalWarning', jest, ...args])
}

/**
 * Installs, unless that would change nothing. An installation with the development dependencies also serves the other tasks, which by
 * themselves ask for half the bytes; it is kept one.
 */
async function install({ development }) {
  const pinned = readFileSync(join(root, 'pnpm-lock.yaml'))
  const lock = createHash('sha256').update(pinned).digest('hex')
  const stamp = readJson(stampFile)
  if (stamp?.lock === lock && stamp.platform === platform() && (stamp.development || !development)) return
  if (stamp === undefined && installedByPnpm(pinned)) return
  const whole = development || readJson(join(root, 'node_modules', '.modules.yaml'))?.included?.devDependencies === true
  process.stderr.write('weft: installing the dependencies that pnpm-lock.yaml pins\n')
  mkdirSync(dirname(stampFile), { recursive: true })
  // Until it is done: an installation that ends half-way is not to be taken for one that somebody made by hand.
  writeFileSync(stampFile, '{}\n')
  const pnpm = pnpmCommand()
  const options = ['--frozen-lockfile', whole ? '--prod=false' : '--prod', '--config.confirmModulesPurge=false']
  const status = await run(pnpm.file, [...pnpm.args, 'install', ...options])
  if (status !== 0) throw new Failure('the installation failed; what pnpm says about it stands above.')
  writeFileSync(stampFile, `${JSON.stringify({ lock, platform: platform(), development: whole })}\n`)
}

/** True where somebody ran `pnpm install` by hand: it leaves the lock file of what it installed, which is ours when that is all. */
function installedByPnpm(pinned) {
  try {
    return readFileSync(join(root, 'node_modules', '.pnpm', 'lock.yaml')).equals(pinned)
  } catch {
    return false
  }
}

/** Runs a program to its end, and ends with it when told to: what is installed in part is installed again the next time. */
function run(file, args) {
  const windows = process.platform === 'win32'
  // What pnpm tells goes to stderr, so that stdout is the program's own. A group of its own, because npx does not end what it runs.
  const child = spawn(file, args, { cwd: root, stdio: ['ignore', 2, 2], shell: windows, detached: !windows })
  let told
  const handlers = signals.map((signal) => {
    const tell = () => {
      told ??= signal
      if (windows) child.kill(signal)
      else process.kill(-child.pid, signal)
    }
    process.on(signal, tell)
    return () => process.removeListener(signal, tell)
  })
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(new Failure(`cannot run ${file}: ${error.message}`)))
    child.once('exit', (code, signal) => {
      for (const forget of handlers) forget()
      if (told !== undefined || signal !== null) process.kill(process.pid, told ?? signal)
      else resolve(code)
    })
  })
}

function readJson(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return undefined
  }
}

function platform() {
  return `${process.platform}-${process.arch}`
}

/** The pnpm on PATH when it is the pinned version, else that version through npx. */
function pnpmCommand() {
  const { packageManager } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  const version = packageManager.split('@')[1]
  const env = { ...process.env, COREPACK_ENABLE_DOWNLOAD_PROMPT: '0' }
  const found = spawnSync('pnpm', ['--version'], { cwd: root, encoding: 'utf8', env, shell: process.platform === 'win32', timeout: 20_000 })
  if (found.status === 0 && found.stdout.trim() === version) return { file: 'pnpm', args: [] }
  return { file: 'npx', args: ['-y', `pnpm@${version}`] }
}

/** The Node 24 that the lockfile pins; on platforms it has none for, the Node that runs this. */
function pinnedNode() {
  const pinned = join(root, 'node_modules', `node-${platform()}`, 'bin', 'node')
  if (existsSync(pinned)) return pinned
  if (Number.parseInt(process.versions.node, 10) >= wanted) return process.execPath
  throw new Failure(`no Node ${wanted} is packaged for ${platform()}: install it and run this with it (this is ${process.version}).`)
}

/** Runs a program in the place of this one: as this very process where Node can do that, else as its child. */
function become(file, args) {
  const cache = join(root, '.cache', 'node-compile')
  mkdirSync(cache, { recursive: true })
  const env = { ...process.env, NODE_COMPILE_CACHE: cache }
  const endWithParent = ['--import', join(root, 'tooling', 'end-with-parent.mjs')]
  const underNpm = env.npm_lifecycle_event !== undefined
  // A shell may leave what it started behind on purpose (nohup, disown); npm never means to.
  if (process.execve) process.execve(file, [file, ...(underNpm ? endWithParent : []), ...args], env)
  const child = spawn(file, [...endWithParent, ...args], { stdio: 'inherit', env })
  // Ctrl-C reaches the child, too, which takes a signal that comes twice for one.
  for (const signal of signals) process.on(signal, () => child.kill(signal))
  child.once('error', (error) => {
    process.stderr.write(`weft: cannot run ${file}: ${error.message}\n`)
    process.exit(1)
  })
  child.once('exit', (code, signal) => {
    if (signal === null) process.exit(code)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
  if (underNpm) import('./end-with-parent.mjs')
}
