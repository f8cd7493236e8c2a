import type { OutgoingAnnouncement } from './announcement.ts'
import type { RowOf, TableStream } from './stream.ts'

/** Committed rows of one stream, as they are announced. */
export interface Committed<S extends TableStream = TableStream> {
  readonly stream: S
  /** In order of position. */
  readonly rows: readonly RowOf<S>[]
  /** Parallel to `rows` where the stream carries texts. */
  readonly texts?: readonly (string | undefined)[]
}

/** Ids taken together for one transaction. */
export interface Taken {
  readonly first: number
  readonly last: number
  state: 'open' | 'committed' | 'abandoned'
  parts: readonly Committed[]
  /** The position that its transaction stores, where it stores one. */
  stores: number | undefined
}

/**
 * The positions of one sequence of ids of a writer. Commits land out of id order, so the position is the highest
 * committed id with nothing open below it. Abandoned ids at the end do not count: a successor would give them out again.
 * Nothing is announced before it is stored, so that no follower and no token is ever ahead of the stored position.
 */
export class PositionTrack {
  readonly name: string
  readonly #taken: Taken[] = []
  /** Done in order, and waiting until the stored position has come this far. */
  readonly #ready: Taken[] = []
  #next: number
  /** The highest committed id below which nothing is open. */
  #completed: number
  #stored: number
  #announced: number

  constructor(name: string, position: number) {
    this.name = name
    this.#next = position + 1
    this.#completed = position
    this.#stored = position
    this.#announced = position
  }

  /** What followers may stand at. */
  get announced(): number {
    return this.#announced
  }

  /** Where the stored position must be brought, or undefined where it is there already. */
  get behind(): number | undefined {
    return this.#stored < this.#completed ? this.#completed : undefined
  }

  /** True while ids are open or committed rows wait to be announced. */
  get busy(): boolean {
    return this.#taken.length > 0 || this.#ready.length > 0
  }

  take(count: number): Taken {
    const taken: Taken = { first: this.#next, last: this.#next + count - 1, state: 'open', parts: [], stores: undefined }
    this.#next += count
    this.#taken.push(taken)
    return taken
  }

  /**
   * The position to store in the transaction of `taken`: how far the completed position comes once it commits, or
   * undefined where something older is open (whoever closes the gap stores it).
   */
  positionAfter(taken: Taken): number | undefined {
    let position: number | undefined
    for (const other of this.#taken) {
      if (other === taken || other.state === 'committed') position = other.last
      else if (other.state === 'open') break
    }
    taken.stores = position !== undefined && position >= taken.last ? position : undefined
    return taken.stores
  }

  committed(taken: Taken, parts: readonly Committed[]): void {
    taken.state = 'committed'
    taken.parts = parts
    if (taken.stores !== undefined) this.#stored = Math.max(this.#stored, taken.stores)
    this.#advance()
  }

  abandoned(taken: Taken): void {
    taken.state = 'abandoned'
    this.#advance()
  }

  stored(position: number): void {
    this.#stored = Math.max(this.#stored, position)
  }

  /** Takes out what may be announced now: the parts of finished commits, in order of id, and the step they make. */
  announceable(): { readonly prev: number; readonly token: number; readonly parts: readonly Committed[] } | undefined {
    const prev = this.#announced
    const parts: Committed[] = []
    while (this.#ready.length > 0 && this.#ready[0]!.last <= this.#stored) {
      const taken = this.#ready.shift()!
      parts.push(...taken.parts)
      this.#announced = taken.last
    }
    return this.#announced === prev ? undefined : { prev, token: this.#announced, parts }
  }

  #advance(): void {
    while (this.#taken.length > 0 && this.#taken[0]!.state !== 'open') {
      const taken = this.#taken.shift()!
      if (taken.state !== 'committed') continue
      this.#completed = taken.last
      this.#ready.push(taken)
    }
  }
}

/** One announcement per stream of the parts, those that share the positions of `base` directly before it. */
export function announcementsOf(
  base: string,
  instance: string,
  step: { readonly prev: number; readonly token: number; readonly parts: readonly Committed[] },
): OutgoingAnnouncement[] {
  const byStream = new Map<string, { rows: object[]; texts: (string | undefined)[] | undefined }>()
  for (const { stream, rows, texts } of step.parts) {
    let group = byStream.get(stream.name)
    if (group === undefined) {
      group = { rows: [], texts: undefined }
      byStream.set(stream.name, group)
    }
    if (texts !== undefined) group.texts = [...(group.texts ?? Array(group.rows.length).fill(undefined)), ...texts]
    else if (group.texts !== undefined) group.texts.push(...Array(rows.length).fill(undefined))
    group.rows.push(...rows)
  }
  const own = byStream.get(base) ?? { rows: [], texts: undefined }
  byStream.delete(base)
  const envelope = { instance, prev: step.prev, token: step.token }
  const sharing = [...byStream].filter(([, group]) => group.rows.length > 0)
  return [...sharing.map(([stream, group]) => ({ stream, ...envelope, ...group })), { stream: base, ...envelope, ...own }]
}
