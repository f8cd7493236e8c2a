import { StateMap } from '@weft/matrix'

/** A change of the current state. */
export interface Delta {
  readonly position: number
  readonly type: string
  readonly stateKey: string
  readonly eventNid: number | undefined
  readonly prevEventNid: number | undefined
}

/** Takes back every delta after `position`, so that the state is what it was there. Deltas come oldest first. */
export function rollBack(state: StateMap<number>, deltas: readonly Delta[], position: number): void {
  for (let i = deltas.length - 1; i >= 0; i--) {
    const delta = deltas[i] as Delta
    if (delta.position <= position) return
    if (delta.prevEventNid === undefined) state.delete(delta.type, delta.stateKey)
    else state.set(delta.type, delta.stateKey, delta.prevEventNid)
  }
}

/** What each key changed in (`after`, `until`] held before the first of its changes; `null` where there was nothing. */
export function valuesBefore(deltas: readonly Delta[], after: number, until: number): StateMap<number | null> {
  const before = new StateMap<number | null>()
  for (const delta of deltas) {
    if (delta.position <= after) continue
    if (delta.position > until) break
    if (!before.has(delta.type, delta.stateKey)) before.set(delta.type, delta.stateKey, delta.prevEventNid ?? null)
  }
  return before
}

/** What each key changed in (`after`, `until`] holds after the last of its changes; `null` where the key left the state. */
export function valuesAfter(deltas: readonly Delta[], after: number, until: number): StateMap<number | null> {
  const changed = new StateMap<number | null>()
  for (const delta of deltas) {
    if (delta.position <= after) continue
    if (delta.position > until) break
    changed.set(delta.type, delta.stateKey, delta.eventNid ?? null)
  }
  return changed
}
