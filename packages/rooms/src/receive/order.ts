import type { ReceivedEvent } from './read-pdu.ts'

/**
 * Orders events so that each comes after those among them that it names; ties by the order they came in. What stands on a circle,
 * as ids that servers make up allow, is left out with all that stands on it.
 */
export function inOrder(events: ReadonlyMap<string, ReceivedEvent>): ReceivedEvent[] {
  const waitsFor = new Map<string, number>()
  const namedBy = new Map<string, ReceivedEvent[]>()
  const ready: ReceivedEvent[] = []
  for (const event of events.values()) {
    const named = new Set([...event.prevIds, ...event.authIds].filter((id) => events.has(id)))
    waitsFor.set(event.eventId, named.size)
    for (const id of named) {
      const others = namedBy.get(id)
      if (others === undefined) namedBy.set(id, [event])
      else others.push(event)
    }
    if (named.size === 0) ready.push(event)
  }
  for (let i = 0; i < ready.length; i++) {
    for (const other of namedBy.get((ready[i] as ReceivedEvent).eventId) ?? []) {
      const left = (waitsFor.get(other.eventId) as number) - 1
      waitsFor.set(other.eventId, left)
      if (left === 0) ready.push(other)
    }
  }
  return ready
}
