import { cpuPer, loadgen, losses, probe, type Report, type Target } from '../loadgen.ts'
import { Server } from '../rig.ts'
import { SynapseWorkers } from '../synapse.ts'
import { type Campaign, type Check, markdownTable, type Outcome } from './campaign.ts'

type Scenario = 'send' | 'one-room' | 'members'
type Options = Readonly<Record<'rounds' | 'seconds' | 'members' | 'synapse-members', string>>

/** One server's figures of one round. */
interface Round {
  readonly scenarios: Readonly<Partial<Record<Scenario, Report>>>
  readonly sendP50: number
  readonly wakeP50: number
}

const servers = ['Weft', 'Synapse'] as const
type ServerName = (typeof servers)[number]
type Rounds = Readonly<Record<ServerName, readonly Round[]>>

/** Weft and Synapse with workers under the same load, one after the other. */
export const synapse: Campaign = {
  about:
    'Synapse with workers (../shared/peers: seven processes, nginx, Redis, PostgreSQL 15 with fsync) and Weft split (router, writer, two ' +
    'sync processes, Redis, PostgreSQL with fsync), each on an empty database, one after the other in each round, under ../shared/loadgen ' +
    'and the sequential probe, after a first load that is not counted. CPU is of all processes of the server, its proxy or router, PostgreSQL and Redis included. Figures are ' +
    'medians of the rounds. Synapse takes ten minutes a round for the joins of rooms of 100 members: `--synapse-members` gives it smaller ' +
    'ones, or 0 none, where only Weft is asked what members cost.',
  options: { rounds: '3', seconds: '20', members: '100', 'synapse-members': '100' },
  async run(given) {
    const options = given as Options
    const rounds: Record<ServerName, Round[]> = { Weft: [], Synapse: [] }
    for (let round = 1; round <= Number(options.rounds); round++) {
      tell(`round ${round}: Synapse`)
      rounds.Synapse.push(await measured(await SynapseWorkers.start(), options.seconds, Number(options['synapse-members'])))
      tell(`round ${round}: Weft`)
      rounds.Weft.push(await measured(await Server.start(['--split', '--replicas', 'sync=2']), options.seconds, Number(options.members)))
    }
    return report(rounds, options)
  },
}

/** @param members of each room of the last scenario; 0 leaves it out */
async function measured(server: Target & { stop(): Promise<void> }, seconds: string, members: number): Promise<Round> {
  const duration = ['-duration', `${seconds}s`]
  try {
    // Code that has just been loaded is slow in either: neither server is measured in its first seconds.
    await loadgen('send', server, ['-rooms', '50', '-concurrency', '32', ...duration, '-prefix', 'warm'])
    const { send, wake_send } = await probe(server)
    const rooms = await loadgen('send', server, ['-rooms', '50', '-concurrency', '32', ...duration])
    const oneRoom = await loadgen('send', server, ['-one-room', '-senders', '8', '-concurrency', '8', ...duration])
    const figures = { sendP50: send.median, wakeP50: wake_send.median }
    if (members === 0) return { scenarios: { send: rooms, 'one-room': oneRoom }, ...figures }
    const roomy = await loadgen('send-members', server, ['-rooms', '50', '-members', `${members}`, '-concurrency', '32', ...duration])
    return { scenarios: { send: rooms, 'one-room': oneRoom, members: roomy }, ...figures }
  } finally {
    await server.stop()
  }
}

function report(rounds: Rounds, { members, seconds, ...options }: Options): Outcome {
  const figure = (server: ServerName, of: (round: Round) => number) => median(rounds[server].map(of))
  const of =
    (scenario: Scenario, figure: (report: Report) => number | undefined) =>
    ({ scenarios }: Round) => {
      const report = scenarios[scenario]
      return (report && figure(report)) ?? Number.NaN
    }
  const cpu = (scenario: Scenario) => of(scenario, (report) => cpuPer(report, 'event'))
  const rate = (scenario: Scenario) => of(scenario, ({ result }) => result.events_per_second)
  const p95 = (scenario: Scenario) => of(scenario, ({ result }) => result.latency?.p95_ms)
  const theirMembers = options['synapse-members']
  const names: Readonly<Record<Scenario, string>> = {
    send: 'send, 50 rooms × 32',
    'one-room': 'send, one room × 8 senders',
    members: `send, 50 rooms of ${members} members${theirMembers === members ? '' : ` (Synapse: ${theirMembers})`} × 32`,
  }
  const rows: Array<readonly [name: string, of: (round: Round) => number]> = [
    ...(Object.entries(names) as Array<[Scenario, string]>).flatMap(([scenario, name]) => [
      [`${name}: CPU ms an event`, cpu(scenario)] as const,
      [`${name}: events a second`, rate(scenario)] as const,
      [`${name}: p95 ms`, p95(scenario)] as const,
    ]),
    ['sequential send p50 ms', (round) => round.sendP50],
    ['send to woken /sync p50 ms', (round) => round.wakeP50],
  ]
  const lost = (server: ServerName) =>
    rounds[server].flatMap(({ scenarios }) => Object.values(scenarios)).reduce((sum, { result }) => sum + losses(result.history), 0)
  const weft = (of: (round: Round) => number) => figure('Weft', of)
  const ratio = figure('Synapse', cpu('send')) / weft(cpu('send'))
  const more = weft(cpu('members')) - weft(cpu('send'))
  // The bars were set on another machine, and name what Synapse takes there: what they ask for on any machine is the ratio.
  const givenAsRatios = [
    { name: names.send, of: cpu('send'), bar: 0.5, theirs: 21 },
    { name: names['one-room'], of: cpu('one-room'), bar: 0.8, theirs: 20 },
    { name: 'sequential send p50', of: (round: Round) => round.sendP50, bar: 1.5, theirs: 26 },
    { name: 'send to woken /sync p50', of: (round: Round) => round.wakeP50, bar: 4, theirs: 38 },
  ]
  const checks: Check[] = [
    atMost(names.send, weft(cpu('send')), 0.5, 'ms'),
    { name: `${names.send}: ${ratio.toFixed(1)} times less CPU than Synapse, at least 30`, ok: ratio >= 30 },
    { name: `${names.send}: ${Math.round(weft(rate('send')))} events a second, at least 2,500`, ok: weft(rate('send')) >= 2500 },
    atMost(names['one-room'], weft(cpu('one-room')), 0.8, 'ms'),
    atMost(`${names.members}, beyond rooms of one`, more, 0.3, 'ms'),
    atMost(
      'sequential send p50',
      weft((round) => round.sendP50),
      1.5,
      'ms',
    ),
    atMost('events lost or doubled by Weft', lost('Weft'), 0, ''),
    ...givenAsRatios.map(({ name, of, bar, theirs }) => {
      const times = figure('Synapse', of) / weft(of)
      return {
        name: `${name}: ${times.toFixed(1)} times less than Synapse; the bar names ${bar} ms where Synapse takes ${theirs}, ${(theirs / bar).toFixed(1)} times`,
        ok: times >= theirs / bar,
      }
    }),
  ]
  const table = rows.map(([name, of]) => {
    const [ours, theirs] = [weft(of), figure('Synapse', of)]
    const spread = rounds.Weft.map((round) => shown(of(round))).join(', ')
    return [name, shown(ours), spread, shown(theirs), rounds.Synapse.map((round) => shown(of(round))).join(', '), shown(theirs / ours)]
  })
  const processes = [...new Set(rounds.Weft.flatMap(({ scenarios }) => Object.keys(scenarios.send?.processes ?? {})))].map((name) => [
    name,
    ...(Object.keys(names) as Scenario[]).map((scenario) =>
      shown(weft(of(scenario, ({ processes }) => processes[name]?.cpu_ms_per.event ?? 0))),
    ),
  ])
  const figures = [
    `${rounds.Weft.length} rounds of ${seconds} s a scenario.`,
    '',
    markdownTable(['', 'Weft', 'rounds', 'Synapse', 'rounds', 'Synapse / Weft'], table),
    '',
    'CPU of Weft in ms an event, by process:',
    '',
    markdownTable(['', ...Object.values(names)], processes),
    '',
    ...checks.map(({ name, ok }) => `- ${ok ? 'holds' : '**missed**'}: ${name}`),
  ]
  return { checks, figures: figures.join('\n') }
}

function atMost(name: string, figure: number, limit: number, unit: string): Check {
  return { name: `${name}: ${shown(figure)} ${unit}, at most ${limit}`, ok: figure <= limit }
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

function shown(value: number): string {
  if (Number.isNaN(value)) return '–'
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toFixed(value < 1 ? 3 : 2)
}

function tell(text: string): void {
  process.stderr.write(`${text}\n`)
}
