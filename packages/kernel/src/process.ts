import { randomBytes } from 'node:crypto'
import { type Clock, systemClock } from './clock.ts'
import type { Environment } from './config/environment.ts'
import { ConfigError, formatProblem } from './config/error.ts'
import { loadConfig } from './config/load.ts'
import type { Requirement } from './config/rules.ts'
import type { Config } from './config/schema.ts'
import { type HealthServer, startHealthServer } from './health-server.ts'
import { type Lifecycle, ProcessLifecycle, type StopOutcome } from './lifecycle.ts'
import { createLogger, type Logger } from './log/logger.ts'
import { Metrics } from './metrics/metrics.ts'
import { observeProcess } from './metrics/process-metrics.ts'
import { onStopSignals } from './stop-signals.ts'

export const VERSION = '0.1.0'

/** What a composition builds on. Every part of it is an object of its own: several may live in one OS process. */
export interface ProcessContext {
  /** `router`, `writer`, `sync` …, or `single` for all of them together. */
  readonly class: string
  /** The name of this instance, on the wire and in tokens: `sync-1a2b`. */
  readonly instance: string
  readonly config: Config
  readonly log: Logger
  readonly metrics: Metrics
  readonly clock: Clock
  readonly lifecycle: Lifecycle
}

/** Builds a process from its context: opens, starts, registers what has to be stopped, and says when it is ready. */
export type Compose = (context: ProcessContext) => Promise<void>

export interface StartOptions {
  readonly class: string
  readonly config: Config
  readonly compose: Compose
  readonly log: Logger
  readonly clock?: Clock
  readonly metrics?: Metrics
  /** Made by whoever has to stop the process while it still starts. */
  readonly lifecycle?: ProcessLifecycle
  /** False leaves the health server out, for tests that need none. */
  readonly health?: boolean
}

/** A process object that runs. */
export interface RunningProcess {
  readonly context: ProcessContext
  readonly health: HealthServer | undefined
  readonly lifecycle: ProcessLifecycle
  stop(reason?: string): Promise<StopOutcome>
}

/**
 * Starts a composition inside this OS process: its own metrics, lifecycle and health server, no signals and no exit.
 * When composing fails, what was begun is stopped, and the error thrown on.
 */
export async function startProcess(options: StartOptions): Promise<RunningProcess> {
  const { config, clock = systemClock, metrics = new Metrics() } = options
  const instance = config.process.name ?? newInstanceName(options.class)
  const log = options.log.child({ instance })
  const lifecycle = options.lifecycle ?? new ProcessLifecycle({ log, clock, deadlineMs: config.process.shutdown_deadline })
  const running = begin(
    options,
    { class: options.class, instance, config, log, metrics, clock, lifecycle: lifecycle.part(options.class) },
    lifecycle,
  )
  try {
    return await running
  } catch (error) {
    // What was told to stop while it started fails for want of what is gone already.
    if (!lifecycle.draining.aborted) lifecycle.fail(error)
    await lifecycle.finished
    throw error
  }
}

async function begin(options: StartOptions, context: ProcessContext, lifecycle: ProcessLifecycle): Promise<RunningProcess> {
  const { config, metrics } = context
  lifecycle.onStop('process metrics', observeProcess(metrics, { class: context.class, instance: context.instance, version: VERSION }))
  let health: HealthServer | undefined
  if (options.health !== false) {
    const { host, port } = healthAddress(config)
    health = await startHealthServer({ host, port, lifecycle, metrics })
    lifecycle.onStop('health server', health.close)
    const url = `http://${host.includes(':') ? `[${host}]` : host}:${health.port}`
    context.log.info({ url, pid: process.pid }, 'health server listens')
  }
  await options.compose(context)
  return { context, health, lifecycle, stop: (reason = 'asked to') => lifecycle.stop(reason) }
}

/** The context of another class inside the same process, as layout `single` composes them: a name and readiness of its own. */
export function partContext(context: ProcessContext, partClass: string): ProcessContext {
  const instance = newInstanceName(partClass)
  return { ...context, class: partClass, instance, log: context.log.child({ instance }), lifecycle: context.lifecycle.part(partClass) }
}

/** `sync-1a2b3c4d`: random, so that nobody has to count instances. */
function newInstanceName(processClass: string): string {
  return `${processClass}-${randomBytes(4).toString('hex')}`
}

/** Where /health, /ready and /metrics are. */
export function healthAddress(config: Config): { host: string; port: number } {
  const listener = config.listeners.find((candidate) => candidate.type === 'metrics')
  if (config.process.health_port !== undefined || !listener)
    return { host: config.process.health_bind_address, port: config.process.health_port ?? 0 }
  return { host: listener.bind_addresses[0] ?? config.process.health_bind_address, port: listener.port }
}

export interface RunOptions {
  /** homeserver.yaml; `$WEFT_CONFIG` when left out. */
  readonly configPath?: string | undefined
  readonly env?: Environment
  /** By default what the class cannot do without. */
  readonly requires?: readonly Requirement[]
}

const requirements: Readonly<Record<string, readonly Requirement[]>> = {
  router: ['internal_secret', 'redis'],
  writer: ['internal_secret', 'database', 'redis', 'signing_key'],
  sync: ['internal_secret', 'database', 'redis'],
  single: ['internal_secret', 'database', 'signing_key'],
}

/**
 * Runs an OS process of a class until it is told to stop: configuration, log, metrics, health server, signals, shutdown with a
 * deadline. Exit code 0 after a clean stop, 1 after a failure, 2 when the configuration is refused. Never returns.
 */
export async function runProcess(processClass: string, compose: Compose, options: RunOptions = {}): Promise<never> {
  const env = options.env ?? process.env
  let config: Config
  const warnings: string[] = []
  try {
    const requires = options.requires ?? requirements[processClass] ?? ['internal_secret', 'database', 'redis']
    config = loadConfig({
      path: options.configPath ?? env.WEFT_CONFIG,
      env,
      requires,
      onWarning: (warning) => warnings.push(formatProblem(warning)),
    })
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    process.stderr.write(`The configuration is refused:\n${error.message}\n`)
    process.exit(2)
  }
  const log = createLogger(config.log)
  for (const warning of warnings) log.warn({}, warning)
  const lifecycle = new ProcessLifecycle({ log, clock: systemClock, deadlineMs: config.process.shutdown_deadline })
  const exit = (code: number): never => {
    log.flush()
    process.exit(code)
  }
  guardProcess(log, lifecycle, exit)
  void lifecycle.finished.then(({ clean, failure }) => exit(clean && failure === undefined ? 0 : 1))
  await startProcess({ class: processClass, config, compose, log, lifecycle }).catch(() => {
    // Told to the lifecycle already, which has stopped what was begun and ends the process.
  })
  return new Promise<never>(() => undefined)
}

/**
 * A signal stops the process, also one that still starts; a second one ends it at once. What nobody caught is logged and ends the
 * process: its state is unknown then.
 */
function guardProcess(log: Logger, lifecycle: ProcessLifecycle, exit: (code: number) => never): void {
  onStopSignals({
    stop: (signal) => void lifecycle.stop(signal),
    end(signal) {
      log.warn({ signal }, 'told to stop twice: ending at once')
      exit(1)
    },
  })
  process.on('unhandledRejection', (err) => {
    log.error({ err }, 'unhandled rejection')
    exit(1)
  })
  process.on('uncaughtException', (err) => {
    log.error({ err }, 'uncaught exception')
    exit(1)
  })
  process.on('warning', (err) => log.warn({ err }, 'warning of Node'))
}
