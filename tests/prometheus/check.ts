/**
 * A real Prometheus scrapes every process of `weft start --split` and finds what docs/metrics.md promises: `bash tests/ci/prometheus.sh`.
 * The last line is `N passed, N failed`, or has all steps skipped where no Prometheus is to be had.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { Server } from '../interop/server.ts'
import { Tally } from '../interop/tally.ts'
import { alertExpressions, documentedMetrics } from './documented.ts'
import { converse, MESSAGES } from './exercise.ts'
import { findPrometheus, type PrometheusPrograms, PrometheusUnavailable } from './program.ts'
import { Prometheus } from './prometheus.ts'

const COUNTS = { router: 2, writer: 2, sync: 2 } as const
const SCRAPES = 4
const DEADLINE_MS = 30_000

/** What this server has no series of: a counter by labels has none before it counts. */
const NOT_COUNTED_HERE: Readonly<Record<string, string>> = {
  weft_replication_dropped_total: 'by reason: nothing was dropped',
  weft_replication_refilled_rows_total: 'by stream: no follower had a gap',
  weft_replication_reaction_failures_total: 'by stream: no reaction threw',
  weft_router_upstream_failures_total: 'by class and stage: no attempt failed',
  weft_router_retries_total: 'by class and reason: nothing had to be tried again',
  weft_router_held_total: 'by class: no request had to wait for an instance',
  weft_received_events_total: 'by outcome: no other server sends here',
  weft_state_resolutions_total: 'by outcome: no room has forks',
}

const UNITS = /_(?:bucket|sum|count)$/
/** Labels that Prometheus itself, or the type of a metric, brings along. */
const OTHER_LABELS = new Set(['__name__', 'job', 'instance', 'le'])

type Act = (rig: Rig) => Promise<readonly string[]> | readonly string[]
interface Rig {
  readonly programs: PrometheusPrograms
  readonly server: Server
  readonly prometheus: Prometheus
  readonly targets: readonly string[]
}

/** Each answers what is wrong. */
const steps: Readonly<Record<string, Act>> = {
  async 'every process is up'({ prometheus, targets }) {
    await until(
      async () => (await prometheus.query(`min_over_time(up[1m]) == 1 and count_over_time(up[1m]) >= ${SCRAPES}`)).result.length,
      targets.length,
    )
    return (await prometheus.targets())
      .filter(({ health, lastError }) => health !== 'up' || lastError !== '')
      .map(({ scrapeUrl, health, lastError }) => `${scrapeUrl} is ${health}: ${lastError}`)
  },
  async 'every class is there, as often as it runs'({ prometheus }) {
    const { result } = await prometheus.query('count by (class) (weft_process_info == 1)')
    const seen = Object.fromEntries(result.map(({ metric, value }) => [metric.class, Number(value[1])]))
    return Object.entries(COUNTS)
      .filter(([name, count]) => seen[name] !== count)
      .map(([name, count]) => `${name}: ${seen[name]} where ${count} run`)
  },
  async 'no sample is rejected'({ prometheus }) {
    const cut = await prometheus.query('scrape_samples_post_metric_relabeling != scrape_samples_scraped')
    return [...(await prometheus.rejected()), ...cut.result.map(({ metric }) => `samples were lost on the way: ${metric.instance}`)]
  },
  async 'promtool has nothing to say against them'({ programs, targets }) {
    const said: string[] = []
    for (const target of targets) {
      const input = await (await fetch(`http://${target}/metrics`)).text()
      const { status, stdout, stderr } = spawnSync(programs.promtool, ['check', 'metrics'], { input, encoding: 'utf8' })
      if (status !== 0) said.push(...`${stdout}${stderr}`.trim().split('\n'))
    }
    return [...new Set(said)]
  },
  async 'every documented metric is a series, of its type and with its labels'({ prometheus }) {
    const series = await prometheus.series('{job="weft"}')
    const types = await prometheus.types()
    return documentedMetrics().flatMap(({ name, type, labels }) => {
      const own = series.filter(({ __name__ }) => __name__ === name || (type === 'histogram' && __name__?.replace(UNITS, '') === name))
      if (own.length === 0) return name in NOT_COUNTED_HERE ? [] : [`${name}: no series`]
      const seen = new Set(own.flatMap((one) => Object.keys(one)).filter((label) => !OTHER_LABELS.has(label)))
      const wrong = [...seen].filter((label) => !labels.includes(label)).map((label) => `${name}: has a label ${label}`)
      const missing = labels.filter((label) => !seen.has(label)).map((label) => `${name}: has no label ${label}`)
      return [...wrong, ...missing, ...(types.get(name) === type ? [] : [`${name}: is a ${types.get(name)}, not a ${type}`])]
    })
  },
  async 'every series is documented'({ prometheus }) {
    const documented = new Map(documentedMetrics().map((metric) => [metric.name, metric.type]))
    const names = new Set((await prometheus.series('{job="weft"}')).map(({ __name__ }) => __name__ as string))
    const known = (name: string) => documented.has(name) || documented.get(name.replace(UNITS, '')) === 'histogram'
    return [...names].filter((name) => !known(name) && name !== 'up' && !name.startsWith('scrape_'))
  },
  'the exceptions are documented'() {
    const names = new Set(documentedMetrics().map(({ name }) => name))
    return Object.keys(NOT_COUNTED_HERE).filter((name) => !names.has(name))
  },
  async 'what was said is counted'({ prometheus }) {
    const sent = 'weft_http_requests_total{endpoint="client.sendMessage",status="200"}'
    const passedOn = 'weft_router_requests_total{class="writer",endpoint="client.sendMessage",status="200"}'
    const answered = 'weft_router_own_answers_total{status="404"}'
    for (const [expression, count] of [
      [`sum(${sent})`, MESSAGES],
      [`sum(${passedOn})`, MESSAGES],
      [`sum(${answered})`, 1],
    ] as const) {
      await until(async () => Number((await prometheus.query(expression)).result[0]?.value[1]), count)
    }
    return []
  },
  async 'every expression to alert on is understood'({ prometheus }) {
    const expressions = alertExpressions()
    const problems = expressions.length < 10 ? [`only ${expressions.length} expressions were found in docs/how-to/monitor.md`] : []
    for (const expression of expressions) {
      await prometheus.query(expression).catch((error: Error) => problems.push(error.message))
    }
    return problems
  },
}

const tally = new Tally()
const [starts, ends] = ['weft start --split answers, and Prometheus runs', 'nothing is logged at level error, and nothing is left']
tally.plan([starts, ...Object.keys(steps), ends])
let server: Server | undefined
let prometheus: Prometheus | undefined
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
  process.once(signal, () => void stop().then(() => process.exit(tally.finish() ? 0 : 1)))
}
process.exit((await main()) ? 0 : 1)

async function main(): Promise<boolean> {
  try {
    const programs = await findPrometheus(join(import.meta.dirname, '..', '..', '.cache', 'prometheus'))
    server = await Server.start([
      '--split',
      '--replicas',
      Object.entries(COUNTS)
        .map((entry) => entry.join('='))
        .join(),
    ])
    await converse(server.url)
    const targets = server.log().flatMap(({ msg, url }) => (msg === 'health server listens' ? [new URL(url as string).host] : []))
    prometheus = await Prometheus.start(programs.prometheus, targets)
    tally.pass(starts)
    await runSteps({ programs, server, prometheus, targets })
  } catch (error) {
    if (error instanceof PrometheusUnavailable) return tally.skip(error.message)
    tally.fail(starts, error instanceof Error ? (error.stack ?? error.message) : String(error))
  }
  const left = await stop()
  const problems = [...(server?.errors() ?? []), ...left]
  if (server !== undefined && problems.length === 0) tally.pass(ends)
  else if (server !== undefined) tally.fail(ends, problems.slice(0, 20).join('\n'))
  return tally.finish()
}

/** Ends what runs. @returns what it left behind */
async function stop(): Promise<string[]> {
  await prometheus?.stop()
  return (await server?.stop()) ?? []
}

async function runSteps(rig: Rig): Promise<void> {
  for (const [name, act] of Object.entries(steps)) {
    try {
      const problems = await act(rig)
      if (problems.length === 0) tally.pass(name)
      else tally.fail(name, `\n  ${problems.join('\n  ')}`)
    } catch (error) {
      tally.fail(name, error instanceof Error ? error.message : String(error))
    }
  }
}

/** Asks again until it is so: Prometheus tells nobody when it has scraped. @throws Error at the deadline */
async function until(ask: () => Promise<number>, expected: number): Promise<void> {
  const deadline = performance.now() + DEADLINE_MS
  for (;;) {
    const found = await ask()
    if (found === expected) return
    if (performance.now() > deadline) throw new Error(`${found} where ${expected} was due, after ${DEADLINE_MS} ms`)
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}
