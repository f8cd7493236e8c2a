import { readdirSync, readFileSync } from 'node:fs'

/** Threads and backends come and go: what one used is known as of the last look. */
const LOOK_MS = 250

/**
 * CPU of a server's processes without what its resolver threads, and PostgreSQL for them, have used. The forked room takes most of
 * its CPU there; what is left of it is little enough to be told from the others' by difference.
 */
export class Cpu implements Disposable {
  readonly #pids: readonly number[]
  readonly #writer: number
  readonly #backends: () => Promise<number[]>
  readonly #resolvers = new Map<string, number>()
  readonly #timer: NodeJS.Timeout

  /**
   * @param pids of all processes of the server, each with all that it starts
   * @param options.writer the one of them with the resolver threads
   * @param options.backends the backends that work for those threads now
   */
  constructor(pids: readonly number[], options: { readonly writer: number; readonly backends: () => Promise<number[]> }) {
    this.#pids = pids
    this.#writer = options.writer
    this.#backends = options.backends
    // A look that fails at the end, when the database goes away, has nothing to add.
    this.#timer = setInterval(() => void this.#look().catch(() => undefined), LOOK_MS)
  }

  /** Seconds until now, for the others and for resolving. */
  async read(): Promise<{ readonly others: number; readonly resolving: number }> {
    await this.#look()
    const all = this.#pids.reduce((sum, pid) => sum + cpuOfFamily(pid), 0)
    const resolving = [...this.#resolvers.values()].reduce((sum, seconds) => sum + seconds, 0)
    return { others: all - resolving, resolving }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  async #look(): Promise<void> {
    for (const pid of await this.#backends()) this.#note(`${pid}`, `/proc/${pid}`)
    for (const tid of readdirSync(`/proc/${this.#writer}/task`))
      this.#note(`thread ${tid}`, `/proc/${this.#writer}/task/${tid}`, 'resolver')
  }

  #note(key: string, folder: string, name?: string): void {
    const stat = statOf(folder)
    if (stat !== undefined && (name === undefined || stat.name === name)) this.#resolvers.set(key, stat.own)
  }
}

function cpuOfFamily(pid: number): number {
  const stat = statOf(`/proc/${pid}`)
  if (stat === undefined) return 0
  let seconds = stat.own + stat.ended
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const children = gone(() => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').trim()) ?? ''
    if (children !== '') for (const child of children.split(' ')) seconds += cpuOfFamily(Number(child))
  }
  return seconds
}

/** What a process or thread has used, and those of its children that have ended; undefined where it has ended itself. */
function statOf(folder: string): { readonly name: string; readonly own: number; readonly ended: number } | undefined {
  const text = gone(() => readFileSync(`${folder}/stat`, 'utf8'))
  if (text === undefined) return undefined
  const [, name = '', rest = ''] = /^\d+ \((.*)\) (.*)$/s.exec(text) ?? []
  const [utime, stime, cutime, cstime] = rest.split(' ').slice(11, 15).map(Number) as [number, number, number, number]
  return { name, own: (utime + stime) / 100, ended: (cutime + cstime) / 100 }
}

/** What is read of a process, or undefined where it ends meanwhile. */
function gone<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}
