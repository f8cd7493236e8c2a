import type { RoomSummary } from './room-feed.ts'

/** Where summaries are read from. */
export interface SummarySource {
  summaries(roomNids: readonly number[]): Promise<ReadonlyArray<RoomSummary & { readonly roomNid: number }>>
}

/** A room to be counted; `memberChanges` says as of which change of its members, where that is known. */
export interface SummaryRequest {
  readonly roomNid: number
  readonly memberChanges: number | undefined
}

/** Reads rooms' counts and heroes, once for all who ask after the same change of members. */
export class SummaryReader {
  readonly #source: SummarySource
  readonly #reading = new Map<number, { readonly memberChanges: number; readonly found: Promise<Map<number, RoomSummary>> }>()

  constructor(source: SummarySource) {
    this.#source = source
  }

  async read(rooms: readonly SummaryRequest[]): Promise<Map<number, RoomSummary>> {
    const waits = new Set<Promise<Map<number, RoomSummary>>>()
    const mine: SummaryRequest[] = []
    for (const room of rooms) {
      const reading = this.#reading.get(room.roomNid)
      if (reading !== undefined && reading.memberChanges === room.memberChanges) waits.add(reading.found)
      else mine.push(room)
    }
    if (mine.length > 0) waits.add(this.#start(mine))
    const wanted = new Set(rooms.map((room) => room.roomNid))
    const found = new Map<number, RoomSummary>()
    for (const part of await Promise.all(waits)) {
      for (const [roomNid, summary] of part) if (wanted.has(roomNid)) found.set(roomNid, summary)
    }
    return found
  }

  #start(rooms: readonly SummaryRequest[]): Promise<Map<number, RoomSummary>> {
    const found = this.#source
      .summaries(rooms.map((room) => room.roomNid))
      .then((rows) => new Map(rows.map((row) => [row.roomNid, { joined: row.joined, invited: row.invited, heroes: row.heroes }])))
      .finally(() => {
        for (const { roomNid } of rooms) if (this.#reading.get(roomNid)?.found === found) this.#reading.delete(roomNid)
      })
    for (const { roomNid, memberChanges } of rooms) if (memberChanges !== undefined) this.#reading.set(roomNid, { memberChanges, found })
    return found
  }
}
