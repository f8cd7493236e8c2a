import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const START_MS = 30_000
const SCRAPE_INTERVAL = '1s'

/** An instant vector's element. */
export interface Sample {
  readonly metric: Readonly<Record<string, string>>
  readonly value: readonly [time: number, value: string]
}

/** A target as Prometheus sees it. */
export interface Target {
  readonly scrapeUrl: string
  readonly health: 'up' | 'down' | 'unknown'
  readonly lastError: string
}

/** A Prometheus that scrapes some processes, by `host:port`, in a folder of its own. */
export class Prometheus {
  readonly #url: string
  readonly #folder: string
  readonly #child: ChildProcess
  readonly #said: string[]

  private constructor(url: string, folder: string, child: ChildProcess, said: string[]) {
    this.#url = url
    this.#folder = folder
    this.#child = child
    this.#said = said
  }

  /** @throws Error with what it said, where it does not start */
  static async start(program: string, targets: readonly string[]): Promise<Prometheus> {
    const folder = await mkdtemp(join(tmpdir(), 'weft-prometheus-'))
    const config = join(folder, 'prometheus.yml')
    const jobs = [{ job_name: 'weft', static_configs: [{ targets }] }]
    // JSON is YAML.
    await writeFile(config, JSON.stringify({ global: { scrape_interval: SCRAPE_INTERVAL }, scrape_configs: jobs }))
    const listen = ['--web.listen-address=127.0.0.1:0', '--log.format=logfmt']
    const child = spawn(program, [`--config.file=${config}`, `--storage.tsdb.path=${join(folder, 'data')}`, ...listen], {
      cwd: folder,
      stdio: ['ignore', 'ignore', 'pipe'],
      detached: true,
    })
    const said: string[] = []
    try {
      return new Prometheus(`http://${await addressOf(child, said)}`, folder, child, said)
    } catch (error) {
      child.kill('SIGKILL')
      await rm(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** What it could not take of what it scraped, and whatever else it complained of. */
  async rejected(): Promise<string[]> {
    const own = await (await fetch(`${this.#url}/metrics`)).text()
    const counts = own.split('\n').filter((line) => /^prometheus_target_scrapes_(?:sample|exceeded)_\w+ (?!0$)/.test(line))
    return [...counts, ...this.#said.filter((line) => /level=(?:warn|error)/i.test(line))]
  }

  /** An expression's value now. @throws Error where Prometheus does not understand it */
  query(expression: string): Promise<{ readonly resultType: string; readonly result: readonly Sample[] }> {
    return this.#get('query', { query: expression })
  }

  /** Label sets of all series that match a selector. */
  series(selector: string): Promise<readonly Readonly<Record<string, string>>[]> {
    return this.#get('series', { 'match[]': selector })
  }

  /** Types of metrics, by their names in the exposition. */
  async types(): Promise<ReadonlyMap<string, string>> {
    const metadata = await this.#get<Record<string, readonly { readonly type: string }[]>>('metadata', {})
    return new Map(Object.entries(metadata).map(([name, [first]]) => [name, first?.type ?? 'unknown']))
  }

  async targets(): Promise<readonly Target[]> {
    return (await this.#get<{ readonly activeTargets: readonly Target[] }>('targets', {})).activeTargets
  }

  async stop(): Promise<void> {
    const exited = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGTERM')
    await exited
    await rm(this.#folder, { recursive: true, force: true })
  }

  async #get<T>(path: string, parameters: Readonly<Record<string, string>>): Promise<T> {
    const response = await fetch(`${this.#url}/api/v1/${path}?${new URLSearchParams(parameters)}`)
    const answer = (await response.json()) as { status: string; data: T; error?: string }
    if (answer.status !== 'success') throw new Error(`${path} ${JSON.stringify(parameters)}: ${answer.error}`)
    return answer.data
  }
}

/** Where it listens, once it says that it is ready. */
function addressOf(child: ChildProcess, said: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (how: string) => reject(new Error(`Prometheus ${how}:\n${said.slice(-20).join('\n')}`))
    const timer = setTimeout(() => fail(`was not ready within ${START_MS} ms`), START_MS)
    child.once('error', (error) => fail(error.message))
    child.once('exit', (code) => fail(`ended at once (${code})`))
    let address: string | undefined
    let ready = false
    createInterface(child.stderr as NodeJS.ReadableStream).on('line', (line) => {
      said.push(line)
      // Either may come first.
      address ??= /msg="Listening on" address=(127\.0\.0\.1:\d+)/.exec(line)?.[1]
      ready ||= line.includes('ready to receive web requests')
      if (address === undefined || !ready) return
      clearTimeout(timer)
      resolve(address)
    })
  })
}
