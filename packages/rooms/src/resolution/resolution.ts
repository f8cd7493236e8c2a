import type { GraphEventRow, StateGroupRow } from '@weft/storage'

/** The states of one room to be made one. Small enough to be sent to a thread: what is stored is named, not copied. */
export interface ResolutionRequest {
  readonly roomNid: number
  readonly roomId: string
  readonly roomVersion: string
  /** States by their groups, each once. */
  readonly groups: readonly number[]
  /** States that have no group, as encoded deltas over nothing. */
  readonly states: readonly Uint8Array[]
  /** The group whose differences from the outcome are wanted as {@link Resolution.changes}. */
  readonly reference: number | undefined
  /** Groups and events that are not stored yet. */
  readonly extraGroups: readonly StateGroupRow[]
  readonly extraEvents: readonly GraphEventRow[]
}

/** A key of the resolved state that another state has otherwise. */
export interface ResolvedKey {
  readonly type: string
  readonly stateKey: string
  /** Absent for a key that no state had: it came from an auth event. */
  readonly stateKeyNid: number | undefined
  /** 0: the resolved state has nothing there. */
  readonly eventNid: number
}

/** A change against the reference, with what is needed of the event that now holds. */
export interface ResolvedChange extends ResolvedKey {
  readonly prevEventNid: number | undefined
  readonly event:
    | { readonly eventId: string; readonly sender: string; readonly json: string; readonly authDepth: number | undefined }
    | undefined
}

export interface Resolution {
  /** The reference where nothing changes, else the group among those given that differs least; absent where none was given. */
  readonly base: number | undefined
  /** What has to change in `base`. */
  readonly delta: readonly ResolvedKey[]
  /** How many entries the resolved state has. */
  readonly size: number
  readonly changes: readonly ResolvedChange[]
}

/** The resolution would take more than it may: nothing can be said of the room's state there. */
export class ResolutionExceeded extends Error {
  override readonly name = 'ResolutionExceeded'
}

/** Resolves states away from the event loop. */
export interface Resolver {
  /**
   * @throws ResolutionExceeded; the signal's reason; ConnectionLost
   */
  resolve(request: ResolutionRequest, signal?: AbortSignal): Promise<Resolution>
}
