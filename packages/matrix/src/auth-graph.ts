import { Heap } from './heap.ts'

/** An event as a node of the graph that `auth_events` make. */
export interface AuthNode {
  readonly eventId: string
  readonly authEvents: readonly string[]
  /**
   * One more than the greatest of its auth events, and 0 without any: counted by this server when it stores the event, never
   * taken from a PDU (`depth` is the sender's word). With it, walks end where the states have met; without, they go to the
   * start of the room.
   */
  readonly authDepth?: number | undefined
}

/** The nodes known so far; `null` for an event that cannot be had, which then has no auth events. */
export type AuthNodes = ReadonlyMap<string, AuthNode | null>

/**
 * Finds the auth difference: the events in the auth chain of one state that are not in the auth chain of every state. The
 * states' own events take part; those that differ are conflicted, so that the full conflicted set is the same.
 *
 * Paints each state's chain in a colour of its own, from the greatest auth depth down, so that an event's colours are known when
 * its turn comes. Nothing below a point where all colours have met needs to be looked at. Memory is that of the part walked.
 *
 * Spec: room version 2, "State resolution", "Auth difference".
 */
export class AuthDifference {
  readonly #all: bigint
  readonly #colours = new Map<string, bigint>()
  readonly #difference = new Set<string>()
  readonly #queue = new Heap<AuthNode>((a, b) => (b.authDepth as number) - (a.authDepth as number))
  readonly #waiting = new Set<string>()
  readonly #seeds: ReadonlyMap<string, bigint>
  #unmet = 0
  #reached = Number.POSITIVE_INFINITY
  #ordered = true

  /**
   * @param states the events of each state
   * @param common events of all of them, which need not be named in each
   */
  constructor(states: ReadonlyArray<Iterable<string>>, common: Iterable<string> = []) {
    this.#all = (1n << BigInt(states.length)) - 1n
    const seeds = new Map<string, bigint>()
    for (const id of common) seeds.set(id, this.#all)
    states.forEach((events, index) => {
      for (const id of events) seeds.set(id, (seeds.get(id) ?? 0n) | (1n << BigInt(index)))
    })
    this.#seeds = seeds
    for (const id of seeds.keys()) this.#waiting.add(id)
    for (const [id, colours] of seeds) this.#paint(id, colours)
  }

  /**
   * Walks as far as the known nodes let it.
   * @returns the nodes it needs next, or the difference
   */
  advance(nodes: AuthNodes): { missing: string[] } | { difference: ReadonlySet<string> } {
    if (this.#ordered) {
      const missing = this.#walkOrdered(nodes)
      if (missing !== undefined) return missing.length > 0 ? { missing } : { difference: this.#difference }
      this.#ordered = false
    }
    return this.#walkWhole(nodes)
  }

  /** `undefined` when the nodes have no usable auth depth. */
  #walkOrdered(nodes: AuthNodes): string[] | undefined {
    if (!this.#enqueue(nodes)) return undefined
    for (;;) {
      if (this.#waiting.size > 0) return this.#wanted(nodes)
      if (this.#unmet === 0) return []
      const node = this.#queue.pop() as AuthNode
      if ((node.authDepth as number) > this.#reached) return undefined
      this.#reached = node.authDepth as number
      const colours = this.#colours.get(node.eventId) as bigint
      if (colours !== this.#all) {
        this.#unmet--
        this.#difference.add(node.eventId)
      }
      for (const authId of node.authEvents) {
        const known = this.#colours.has(authId)
        const authNode = nodes.get(authId)
        if (authNode != null && !(authNode.authDepth !== undefined && authNode.authDepth < (node.authDepth as number))) return undefined
        if (!known) this.#waiting.add(authId)
        this.#paint(authId, colours)
      }
      if (!this.#enqueue(nodes)) return undefined
    }
  }

  #paint(id: string, colours: bigint): void {
    const before = this.#colours.get(id)
    const after = (before ?? 0n) | colours
    if (after === before) return
    this.#colours.set(id, after)
    if (before === undefined) {
      if (after !== this.#all) this.#unmet++
    } else if (after === this.#all) {
      this.#unmet--
    }
  }

  /** Moves what was waited for into the queue. */
  #enqueue(nodes: AuthNodes): boolean {
    for (const id of this.#waiting) {
      const node = nodes.get(id)
      if (node === undefined) continue
      this.#waiting.delete(id)
      // What cannot be had leads nowhere, but may still be what the states differ in: it comes last.
      const walked = node ?? { eventId: id, authEvents: [], authDepth: -1 }
      if (walked.authDepth === undefined) return false
      this.#queue.push(walked)
    }
    return true
  }

  /** What is waited for, and what the nodes in the queue will ask for, which saves rounds. */
  #wanted(nodes: AuthNodes): string[] {
    const wanted = new Set(this.#waiting)
    for (const node of this.#queue.items()) {
      for (const id of node.authEvents) if (!nodes.has(id)) wanted.add(id)
    }
    return [...wanted]
  }

  /** The way without auth depths: every chain to its end, then colours until nothing changes. */
  #walkWhole(nodes: AuthNodes): { missing: string[] } | { difference: ReadonlySet<string> } {
    const { reached, missing } = reachableFrom(this.#seeds.keys(), nodes)
    if (missing.length > 0) return { missing }
    const colours = new Map<string, bigint>()
    const changed: string[] = []
    const paint = (id: string, added: bigint) => {
      const before = colours.get(id) ?? 0n
      if ((before | added) === before) return
      colours.set(id, before | added)
      changed.push(id)
    }
    for (const [id, seed] of this.#seeds) paint(id, seed)
    for (let id = changed.pop(); id !== undefined; id = changed.pop()) {
      for (const authId of nodes.get(id)?.authEvents ?? []) paint(authId, colours.get(id) as bigint)
    }
    return { difference: new Set([...reached].filter((id) => colours.get(id) !== this.#all)) }
  }
}

/**
 * The conflicted state subgraph: all events on a path along `auth_events` from one conflicted event to another.
 *
 * Spec: room version 12, "State resolution", "Conflicted state subgraph".
 * @returns the nodes it needs next, or the subgraph
 */
export function conflictedSubgraph(conflicted: ReadonlySet<string>, nodes: AuthNodes): { missing: string[] } | { subgraph: Set<string> } {
  const absent = [...conflicted].filter((id) => !nodes.has(id))
  if (absent.length > 0) return { missing: absent }
  // Nothing below the least conflicted event leads to one.
  let floor = Number.POSITIVE_INFINITY
  for (const id of conflicted) floor = Math.min(floor, nodes.get(id)?.authDepth ?? Number.NEGATIVE_INFINITY)
  const { reached, missing } = reachableFrom(conflicted, nodes, floor)
  if (missing.length > 0) return { missing }

  const citedBy = new Map<string, string[]>()
  for (const id of reached) {
    for (const authId of nodes.get(id)?.authEvents ?? []) {
      if (!reached.has(authId)) continue
      const citing = citedBy.get(authId)
      if (citing === undefined) citedBy.set(authId, [id])
      else citing.push(id)
    }
  }
  const subgraph = new Set(conflicted)
  const open = [...conflicted]
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    for (const citing of citedBy.get(id) ?? []) {
      if (subgraph.has(citing)) continue
      subgraph.add(citing)
      open.push(citing)
    }
  }
  return { subgraph }
}

/** Everything on the way down from some events, but for nodes below an auth depth. Also names the nodes not known. */
function reachableFrom(
  start: Iterable<string>,
  nodes: AuthNodes,
  floor = Number.NEGATIVE_INFINITY,
): { reached: Set<string>; missing: string[] } {
  const reached = new Set<string>(start)
  const missing: string[] = []
  const open = [...reached]
  for (let id = open.pop(); id !== undefined; id = open.pop()) {
    const node = nodes.get(id)
    if (node === undefined) missing.push(id)
    if (node == null || (node.authDepth !== undefined && node.authDepth <= floor)) continue
    for (const authId of node.authEvents) {
      if (reached.has(authId)) continue
      reached.add(authId)
      open.push(authId)
    }
  }
  return { reached, missing }
}
