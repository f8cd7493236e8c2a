import { type Logger, pause, systemClock } from '@weft/kernel'

/** Something that runs until it ends by itself or is told to. */
export interface Running {
  readonly pid: number
  /** Resolves when it has ended, to how. */
  readonly exited: Promise<string>
  stop(): Promise<void>
}

const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 10_000
/** What has lived so long counts as sound: its next restart does not wait. */
const SOUND_MS = 30_000

/** Keeps one thing running: starts it again when it ends, later each time while it does not live long. */
export class Supervised {
  readonly name: string
  readonly #launch: () => Promise<Running>
  readonly #log: Logger
  readonly #stopping = new AbortController()
  readonly #onChange: () => void
  #running: Running | undefined
  #loop: Promise<void> | undefined
  #restarts = 0

  constructor(options: {
    readonly name: string
    readonly launch: () => Promise<Running>
    readonly log: Logger
    readonly onChange: () => void
  }) {
    this.name = options.name
    this.#launch = options.launch
    this.#log = options.log
    this.#onChange = options.onChange
  }

  get pid(): number | undefined {
    return this.#running?.pid
  }

  /** Starts it for the first time. @throws what starting it throws: a first start that fails is not tried again */
  async start(): Promise<void> {
    this.#running = await this.#launch()
    this.#onChange()
    this.#loop = this.#keep()
  }

  /** Ends it for good. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#running?.stop()
    await this.#loop
  }

  async #keep(): Promise<void> {
    for (;;) {
      const started = performance.now()
      const how = await this.#running?.exited
      this.#running = undefined
      this.#onChange()
      if (performance.now() - started >= SOUND_MS) this.#restarts = 0
      for (;;) {
        if (this.#stopping.signal.aborted) return
        const restartInMs = Math.min(FIRST_PAUSE_MS * 2 ** this.#restarts++, LONGEST_PAUSE_MS)
        this.#log.warn({ child: this.name, how, restartInMs }, 'a child ended: it is started again')
        await pause(systemClock, restartInMs, this.#stopping.signal)
        if (this.#stopping.signal.aborted) return
        try {
          this.#running = await this.#launch()
          break
        } catch (err) {
          this.#log.error({ err, child: this.name }, 'a child could not be started')
        }
      }
      this.#onChange()
      if (this.#stopping.signal.aborted) await this.#running?.stop()
    }
  }
}
