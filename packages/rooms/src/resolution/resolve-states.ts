import {
  type AuthNode,
  isJsonObject,
  own,
  type Pdu,
  parseJsonObject,
  type ResolutionEvent,
  type ResolutionLimits,
  type ResolutionStep,
  referencedIds,
  requireRoomVersion,
  StateMap,
  StateResolution,
} from '@weft/matrix'
import type { AuthNodeRow, EventGraphReader, GraphEventRow } from '@weft/storage'
import { decodeDelta } from '../state-delta.ts'
import { type LayeredStates, layerStates } from './group-forest.ts'
import { type Resolution, ResolutionExceeded, type ResolutionRequest, type ResolvedChange, type ResolvedKey } from './resolution.ts'

/** Events in one statement: some thousand rows keep the connection busy without a burst of memory. */
const BATCH = 2000
/** How far down the power levels are followed ahead of the resolution, which asks for them one after the other. */
const LEVELS_AHEAD = 64
/** Stored JSON may be nested as deep as federation allows and hold lone surrogates in old room versions. */
const STORED = { maxDepth: 1000, allowLoneSurrogates: true }

/** An event of one of the states. */
interface Entry extends AuthNode {
  readonly eventNid: number
  readonly type: string
  readonly stateKey: string
}

/**
 * Resolves states by what PostgreSQL has of them. Runs in a thread, as the arithmetic takes as long as the room's quarrels are
 * large; between batches it gives way to messages.
 * @throws ResolutionExceeded, the signal's reason, ConnectionLost
 */
export async function resolveStates(
  graph: EventGraphReader,
  request: ResolutionRequest,
  limits: ResolutionLimits,
  signal?: AbortSignal,
): Promise<Resolution> {
  const job = new ResolutionJob(graph, request, limits, signal)
  return job.run()
}

class ResolutionJob {
  readonly #graph: EventGraphReader
  readonly #request: ResolutionRequest
  readonly #limits: ResolutionLimits
  readonly #signal: AbortSignal | undefined
  readonly #extraById: ReadonlyMap<string, GraphEventRow>
  readonly #entries = new Map<number, Entry>()
  readonly #nidById = new Map<string, number>()

  constructor(graph: EventGraphReader, request: ResolutionRequest, limits: ResolutionLimits, signal: AbortSignal | undefined) {
    this.#graph = graph
    this.#request = request
    this.#limits = limits
    this.#signal = signal
    this.#extraById = new Map(request.extraEvents.map((row) => [row.eventId, row]))
  }

  async run(): Promise<Resolution> {
    const { groups, states, reference } = this.#request
    const named = reference === undefined || groups.includes(reference) ? groups : [...groups, reference]
    const layered = layerStates(await this.#groupRows(named), named, states.map(decodeDelta))
    // The reference is compared with, and takes part only where it is one of the states too.
    const inputs = layered.overlays.filter((_, index) => index < groups.length || index >= named.length)
    const resolved = await this.#resolve({ base: layered.base, overlays: inputs })
    const keys = new Set(resolved.keys())
    for (const overlay of layered.overlays) for (const key of overlay.keys()) keys.add(key)
    return this.#outcome(layered, named, resolved, keys)
  }

  /** What the resolved state has over the common base: state_key_nid to event_nid, 0 for nothing. */
  async #resolve({ base, overlays }: LayeredStates): Promise<Map<number, number>> {
    const resolved = new Map<number, number>()
    const conflicted = new Set<number>()
    const valueAt = (overlay: ReadonlyMap<number, number>, key: number) => overlay.get(key) ?? base.get(key) ?? 0
    for (const key of new Set(overlays.flatMap((overlay) => [...overlay.keys()]))) {
      const value = valueAt(overlays[0] as ReadonlyMap<number, number>, key)
      if (overlays.every((overlay) => valueAt(overlay, key) === value)) resolved.set(key, value)
      else conflicted.add(key)
    }
    if (conflicted.size === 0) return resolved

    const nids = new Set<number>()
    for (const [key, nid] of base) if (!resolved.has(key) && !conflicted.has(key)) nids.add(nid)
    for (const nid of resolved.values()) if (nid !== 0) nids.add(nid)
    for (const overlay of overlays) for (const key of conflicted) if (valueAt(overlay, key) !== 0) nids.add(valueAt(overlay, key))
    await this.#loadEntries([...nids])

    const unconflicted = new StateMap<string>()
    for (const [key, nid] of base) if (!resolved.has(key) && !conflicted.has(key)) this.#put(unconflicted, nid)
    for (const nid of resolved.values()) if (nid !== 0) this.#put(unconflicted, nid)
    const parts = overlays.map((overlay) => {
      const part = new StateMap<string>()
      for (const key of conflicted) if (valueAt(overlay, key) !== 0) this.#put(part, valueAt(overlay, key))
      return part
    })
    const state = await this.#settle(new StateResolution(this.#version, { unconflicted, conflicted: parts }, this.#limits))
    for (const key of conflicted) resolved.set(key, 0)
    const keyOf = new StateMap<number>()
    for (const overlay of [base, ...overlays]) {
      for (const [key, nid] of overlay) {
        const entry = this.#entries.get(nid)
        if (entry !== undefined) keyOf.set(entry.type, entry.stateKey, key)
      }
    }
    for (const [type, stateKey, eventId] of state.entries()) {
      if (unconflicted.get(type, stateKey) === eventId) continue
      const nid = this.#nidById.get(eventId) as number
      // Keys without a number get a negative one of their own: they are told apart by their event.
      resolved.set(keyOf.get(type, stateKey) ?? -nid, nid)
    }
    return resolved
  }

  async #outcome(
    layered: LayeredStates,
    named: readonly number[],
    resolved: ReadonlyMap<number, number>,
    keys: Set<number>,
  ): Promise<Resolution> {
    const { base, overlays } = layered
    const baseAt = (key: number) => base.get(key) ?? 0
    const resolvedAt = (key: number) => resolved.get(key) ?? baseAt(key)
    const differing = (overlay: ReadonlyMap<number, number>) =>
      [...keys].filter((key) => (overlay.get(key) ?? baseAt(key)) !== resolvedAt(key))
    const { reference, groups } = this.#request
    const overlay = reference === undefined ? undefined : (overlays[named.indexOf(reference)] as ReadonlyMap<number, number>)
    const changed = overlay === undefined ? [] : differing(overlay)
    let least: { readonly group: number; readonly keys: readonly number[] } | undefined
    if (reference !== undefined && changed.length === 0) least = { group: reference, keys: [] }
    else {
      for (const [index, group] of groups.entries()) {
        const found = differing(overlays[index] as ReadonlyMap<number, number>)
        if (least === undefined || found.length < least.keys.length) least = { group, keys: found }
      }
    }
    const deltaKeys = least?.keys ?? [...new Set([...keys, ...base.keys()])].filter((key) => resolvedAt(key) !== 0)

    const nids = new Set([...deltaKeys, ...changed].map(resolvedAt).filter((nid) => nid !== 0))
    // A key that is gone is named by the event that it had.
    const goneNids = [...deltaKeys, ...changed].filter((key) => resolvedAt(key) === 0).map((key) => this.#anyValue(layered, key))
    await this.#loadEntries([...nids, ...goneNids])
    const keyed = (key: number): ResolvedKey => {
      const entry = this.#entries.get(resolvedAt(key) === 0 ? this.#anyValue(layered, key) : resolvedAt(key)) as Entry
      return { type: entry.type, stateKey: entry.stateKey, stateKeyNid: key < 0 ? undefined : key, eventNid: resolvedAt(key) }
    }
    const rows = await this.#rows(changed.map(resolvedAt).filter((nid) => nid !== 0))
    const changes = changed.map((key): ResolvedChange => {
      const before = (overlay as ReadonlyMap<number, number>).get(key) ?? baseAt(key)
      const row = rows.get(resolvedAt(key))
      const event = row && { eventId: row.eventId, sender: row.sender, json: row.json, authDepth: row.authDepth }
      return { ...keyed(key), prevEventNid: before === 0 ? undefined : before, event }
    })
    let size = base.size
    for (const key of keys) size += (resolvedAt(key) === 0 ? 0 : 1) - (base.has(key) ? 1 : 0)
    return { base: least?.group, delta: deltaKeys.map(keyed), size, changes }
  }

  #anyValue({ base, overlays }: LayeredStates, key: number): number {
    return overlays.map((overlay) => overlay.get(key)).find((nid) => nid !== undefined && nid !== 0) ?? base.get(key) ?? 0
  }

  #put(state: StateMap<string>, nid: number): void {
    const entry = this.#entries.get(nid)
    if (entry !== undefined) state.set(entry.type, entry.stateKey, entry.eventId)
  }

  async #settle(resolution: StateResolution): Promise<StateMap<string>> {
    resolution.add({ nodes: this.#entries.values() })
    for (;;) {
      this.#signal?.throwIfAborted()
      const step: ResolutionStep = resolution.next()
      if (step.kind === 'resolved') return step.state
      if (step.kind === 'exceeded') throw new ResolutionExceeded(`the states cannot be resolved: ${step.reason}`)
      await this.#give(resolution, step.nodes, step.events)
    }
  }

  /** Loads what the resolution asks for, and of power levels what it will ask for next. */
  async #give(resolution: StateResolution, nodeIds: readonly string[], eventIds: readonly string[]): Promise<void> {
    const absent = new Set([...nodeIds, ...eventIds])
    for (const ids of batches(nodeIds)) {
      this.#signal?.throwIfAborted()
      const rows = await this.#graph.nodesByIds(this.#request.roomNid, ids)
      const nodes = [...rows.map(toNode), ...ids.flatMap((id) => this.#extraById.get(id) ?? []).map(toNode)]
      resolution.add({ nodes })
      for (const { eventId } of nodes) absent.delete(eventId)
    }
    let wanted = [...eventIds]
    const seen = new Set(wanted)
    for (let level = 0; wanted.length > 0 && level <= LEVELS_AHEAD; level++) {
      const next: string[] = []
      for (const ids of batches(wanted)) {
        this.#signal?.throwIfAborted()
        for (const event of await this.#events(ids)) {
          resolution.add({ events: [event] })
          absent.delete(event.eventId)
          if (event.type !== 'm.room.power_levels') continue
          for (const id of event.authEvents) {
            if (seen.has(id)) continue
            seen.add(id)
            next.push(id)
          }
        }
      }
      wanted = next
    }
    resolution.add({ absent })
  }

  async #events(ids: readonly string[]): Promise<ResolutionEvent[]> {
    const stored = await this.#graph.byIds(ids.filter((id) => !this.#extraById.has(id)))
    const rows = [...stored.filter((row) => row.roomNid === this.#request.roomNid), ...ids.flatMap((id) => this.#extraById.get(id) ?? [])]
    return rows.flatMap((row) => {
      this.#nidById.set(row.eventId, row.eventNid)
      return this.#toEvent(row) ?? []
    })
  }

  #toEvent(row: GraphEventRow): ResolutionEvent | undefined {
    const { eventId, type, stateKey, sender, depth, authDepth, rejected } = row
    if (stateKey === undefined) return undefined
    const client = parseJsonObject(row.json, STORED)
    const envelope = parseJsonObject(row.envelope, STORED) as unknown as Pdu
    const content = own(client, 'content')
    const impliesRoom = this.#version.roomIdIsCreateHash && type === 'm.room.create'
    return {
      eventId,
      type,
      stateKey,
      sender,
      depth,
      authDepth,
      rejected,
      content: isJsonObject(content) ? content : {},
      roomId: impliesRoom ? undefined : this.#request.roomId,
      authEvents: referencedIds(envelope.auth_events ?? []),
      prevEvents: referencedIds(envelope.prev_events ?? []),
      originServerTs: Number(own(client, 'origin_server_ts')),
    }
  }

  async #loadEntries(nids: readonly number[]): Promise<void> {
    const extra = new Map(this.#request.extraEvents.map((row) => [row.eventNid, row]))
    const missing = nids.filter((nid) => nid !== 0 && !this.#entries.has(nid))
    for (const nid of missing) {
      const row = extra.get(nid)
      if (row !== undefined) this.#enter(row)
    }
    const stored = missing.filter((nid) => !extra.has(nid))
    if (this.#entries.size + stored.length > this.#limits.maxNodes) {
      throw new ResolutionExceeded(`the states have more than ${this.#limits.maxNodes} events`)
    }
    for (const batch of batches(stored)) {
      this.#signal?.throwIfAborted()
      for (const row of await this.#graph.nodesByNids(batch)) this.#enter(row)
    }
  }

  #enter(row: AuthNodeRow): void {
    this.#entries.set(row.eventNid, { ...toNode(row), eventNid: row.eventNid, type: row.type, stateKey: row.stateKey ?? '' })
    this.#nidById.set(row.eventId, row.eventNid)
  }

  async #rows(nids: readonly number[]): Promise<Map<number, GraphEventRow>> {
    const wanted = new Set(nids)
    const rows = new Map(this.#request.extraEvents.filter((row) => wanted.has(row.eventNid)).map((row) => [row.eventNid, row]))
    for (const batch of batches(nids.filter((nid) => !rows.has(nid)))) {
      for (const row of await this.#graph.byNids(batch)) rows.set(row.eventNid, row)
    }
    return rows
  }

  async #groupRows(groups: readonly number[]) {
    const extra = new Map(this.#request.extraGroups.map((row) => [row.stateGroup, row]))
    const stored = new Set<number>()
    const used = new Set<number>()
    for (const group of groups) {
      let at: number | undefined = group
      for (let row = extra.get(at); row !== undefined; row = at === undefined ? undefined : extra.get(at)) {
        used.add(row.stateGroup)
        at = row.prevStateGroup
      }
      if (at !== undefined) stored.add(at)
    }
    return [
      ...(await this.#graph.chains([...stored])),
      ...[...used].map((group) => extra.get(group) as NonNullable<ReturnType<typeof extra.get>>),
    ]
  }

  get #version() {
    return requireRoomVersion(this.#request.roomVersion)
  }
}

function toNode(row: Pick<AuthNodeRow, 'eventId' | 'envelope' | 'authDepth'>): AuthNode {
  const envelope = parseJsonObject(row.envelope, STORED) as unknown as Pdu
  return { eventId: row.eventId, authEvents: referencedIds(envelope.auth_events ?? []), authDepth: row.authDepth }
}

function* batches<T>(items: readonly T[]): Generator<T[]> {
  for (let i = 0; i < items.length; i += BATCH) yield items.slice(i, i + BATCH)
}
