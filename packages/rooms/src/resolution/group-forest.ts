import type { StateGroupRow } from '@weft/storage'
import { applyDelta, decodeDelta, type StateDelta } from '../state-delta.ts'

/** States of one room in two parts: what the groups they build on have in common, and for each what it lays over that. */
export interface LayeredStates {
  readonly base: ReadonlyMap<number, number>
  /** By state, in the order given; 0 for a key that the state has not. */
  readonly overlays: readonly StateDelta[]
}

/**
 * Lays states out over the newest group that all of them build on, which is nearly all of a room's state: the forks of a room of
 * 20,000 members cost their differences and not 20,000 entries each.
 * @param rows the groups and all they build on
 * @param states further states, whole
 */
export function layerStates(
  rows: readonly StateGroupRow[],
  groups: readonly number[],
  states: ReadonlyArray<ReadonlyMap<number, number>>,
): LayeredStates {
  const byGroup = new Map(rows.map((row) => [row.stateGroup, row]))
  const paths = groups.map((group) => pathOf(group, byGroup))
  const shared = newestShared(paths)
  const deltas = new Map<number, StateDelta>()
  const deltaOf = (row: StateGroupRow): StateDelta => {
    let delta = deltas.get(row.stateGroup)
    if (delta === undefined) {
      delta = row.delta instanceof Uint8Array ? decodeDelta(row.delta) : new Map([row.delta])
      deltas.set(row.stateGroup, delta)
    }
    return delta
  }
  const base: StateDelta = new Map()
  if (shared !== undefined) for (const row of pathOf(shared, byGroup).reverse()) applyDelta(base, deltaOf(row))
  const overlays = paths.map((path) => {
    const overlay: StateDelta = new Map()
    const end = path.findIndex((row) => row.stateGroup === shared)
    const above = end === -1 ? path : path.slice(0, end)
    for (const row of above.reverse()) for (const [key, event] of deltaOf(row)) overlay.set(key, event)
    return overlay
  })
  return { base, overlays: [...overlays, ...states.map((state) => differenceOf(state, base))] }
}

/** The group and all it builds on, newest first. @throws Error for a group that is not there */
function pathOf(group: number, rows: ReadonlyMap<number, StateGroupRow>): StateGroupRow[] {
  const path: StateGroupRow[] = []
  for (let at: number | undefined = group; at !== undefined; ) {
    const row = rows.get(at)
    if (row === undefined) throw new Error(`state group ${at} is not there`)
    path.push(row)
    at = row.prevStateGroup
  }
  return path
}

/** Paths that meet stay together from there on, so the first group of one that all others have is the newest. */
function newestShared(paths: ReadonlyArray<readonly StateGroupRow[]>): number | undefined {
  const [first, ...others] = paths
  if (first === undefined) return undefined
  const seen = others.map((path) => new Set(path.map((row) => row.stateGroup)))
  return first.find((row) => seen.every((groups) => groups.has(row.stateGroup)))?.stateGroup
}

function differenceOf(state: ReadonlyMap<number, number>, base: ReadonlyMap<number, number>): StateDelta {
  const difference: StateDelta = new Map()
  for (const [key, event] of state) if (base.get(key) !== event) difference.set(key, event)
  for (const key of base.keys()) if (!state.has(key)) difference.set(key, 0)
  return difference
}
