import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makeAccounts } from '../accounts.ts'
import { databaseSizes, type TableSize, totalOf } from '../database-sizes.ts'
import { FILL, fill } from '../fill.ts'
import { root } from '../paths.ts'
import { Server } from '../rig.ts'
import { SynapseWorkers } from '../synapse.ts'
import { type Campaign, markdownTable, type Outcome } from './campaign.ts'

interface Filled {
  /** Of all tables and indexes before anything was done. */
  readonly empty: number
  readonly sizes: readonly TableSize[]
}

/** What is kept to answer what a room's state was at an event, and what it is now. */
const STATE = {
  Weft: { groups: ['state_groups'], names: ['state_keys'], current: ['current_state_events'], columns: true },
  Synapse: {
    groups: ['state_groups', 'state_groups_state', 'state_group_edges', 'event_to_state_groups'],
    names: [],
    current: ['current_state_events'],
    columns: false,
  },
} as const
/** Bytes of a bigint: `events` names the state after each event, and for a state event the one before. */
const COLUMN = 8
/** The rows that Synapse writes for each member and message to count what is unread. */
const UNREAD_COUNTS = ['event_push_actions', 'event_push_actions_staging', 'event_push_summary']

const folder = join(root, '.cache', 'disk')
const synapseFile = join(folder, 'synapse.json')

/** Bytes of the same rooms in Weft and in Synapse. */
export const disk: Campaign = {
  about:
    `The same rooms made through the client API in Weft and in Synapse with workers: one of ${FILL.largeRoom} members with ` +
    `${FILL.changes} membership changes, ${FILL.smallRooms} of ${FILL.smallRoom} members, ${FILL.messages} messages of 100 bytes. Bytes of all ` +
    'tables and indexes after a plain VACUUM. What Synapse took is kept in .cache/disk and used again; a run that is cut short goes on.',
  options: {},
  async run() {
    return report(await filledSynapse(), await filledWeft())
  },
}

export async function filledWeft(): Promise<Filled> {
  const server = await Server.start()
  try {
    const empty = totalOf(await databaseSizes(server.database))
    await fill(server.base, join(server.folder, 'fill.json'), await makeAccounts(server, FILL.largeRoom))
    return { empty, sizes: await databaseSizes(server.database) }
  } finally {
    await server.stop()
  }
}

export async function filledSynapse(): Promise<Filled> {
  if (existsSync(synapseFile)) return JSON.parse(readFileSync(synapseFile, 'utf8')) as Filled
  mkdirSync(folder, { recursive: true })
  const [progress, emptyFile] = [join(folder, 'synapse-progress.json'), join(folder, 'synapse-empty.json')]
  const keep = existsSync(progress)
  // Cheap passwords: their hashes are as long.
  const server = await SynapseWorkers.start({ fresh: !keep, keep: true, bcryptRounds: 4 })
  try {
    if (!keep) {
      writeFileSync(emptyFile, JSON.stringify(totalOf(await databaseSizes(server.database))))
    }
    await fill(server.base, progress)
    const empty = Number(readFileSync(emptyFile, 'utf8'))
    const filled: Filled = { empty, sizes: await databaseSizes(server.database) }
    writeFileSync(synapseFile, JSON.stringify(filled))
    return filled
  } finally {
    await server.stop()
    if (existsSync(synapseFile)) {
      rmSync(progress)
      await SynapseWorkers.forget()
    }
  }
}

interface Figures {
  readonly total: number
  readonly grown: number
  readonly withoutCounts: number
  readonly groups: number
  readonly state: number
  readonly withCurrent: number
  readonly withColumns: number
}

function figuresOf(of: Filled, { groups, names, current, columns }: (typeof STATE)['Weft' | 'Synapse']): Figures {
  const total = totalOf(of.sizes)
  const each = (bytes: number) => bytes / eventsIn(of)
  const withCurrent = each(totalOf(of.sizes, [...groups, ...names, ...current]))
  return {
    total: each(total),
    grown: each(total - of.empty),
    withoutCounts: each(total - of.empty - totalOf(of.sizes, UNREAD_COUNTS)),
    groups: each(totalOf(of.sizes, groups)),
    state: each(totalOf(of.sizes, [...groups, ...names])),
    withCurrent,
    withColumns: withCurrent + (columns ? each(COLUMN * (eventsIn(of) + rowsOf(of, 'current_state_delta_stream'))) : 0),
  }
}

function eventsIn(filled: Filled): number {
  return rowsOf(filled, 'events')
}

function rowsOf({ sizes }: Filled, table: string): number {
  return sizes.find((size) => size.table === table)?.rows as number
}

function report(synapse: Filled, weft: Filled): Outcome {
  const [ours, theirs] = [figuresOf(weft, STATE.Weft), figuresOf(synapse, STATE.Synapse)]
  const rows: ReadonlyArray<readonly [name: string, key: keyof Figures]> = [
    ['all tables and indexes', 'total'],
    ['… without those of the empty database', 'grown'],
    ['… and without unread counts, which Weft does not keep yet', 'withoutCounts'],
    ['state groups', 'groups'],
    ['… with the state keys that they name by number', 'state'],
    ['… and with the current state', 'withCurrent'],
    ['… and with the columns of events that name the groups', 'withColumns'],
  ]
  const tables = (filled: Filled) =>
    markdownTable(
      ['table', 'rows', 'bytes', 'of them indexes', 'bytes an event'],
      filled.sizes
        .slice(0, 20)
        .map(({ table, rows, total, heap }) => [table, rows, total, total - heap, Math.round(total / eventsIn(filled))]),
    )
  return {
    checks: [
      { name: 'at most a third of Synapse in total', ok: ours.grown <= theirs.grown / 3 && ours.total <= theirs.total / 3 },
      {
        name: 'at most a twentieth of Synapse for the tables of state, the current one among them',
        ok: ours.withCurrent <= theirs.withCurrent / 20,
      },
    ],
    figures: [
      markdownTable(
        ['bytes an event', 'Synapse', 'Weft', 'Synapse / Weft'],
        rows.map(([name, key]) => [name, bytes(theirs[key]), bytes(ours[key]), (theirs[key] / ours[key]).toFixed(1)]),
      ),
      '',
      `State groups are ${STATE.Synapse.groups.join(', ')} in Synapse; in Weft, state_groups.`,
      '',
      `Weft, ${eventsIn(weft)} events:`,
      '',
      tables(weft),
      '',
      `Synapse, ${eventsIn(synapse)} events:`,
      '',
      tables(synapse),
    ].join('\n'),
  }
}

function bytes(value: number): string {
  return Math.round(value).toLocaleString('en')
}
