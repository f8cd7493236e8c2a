import type { JsonValue } from '@weft/matrix'

/** Asks another server for what is missing of a room. Whatever it answers is checked like any received event. */
export interface EventSource {
  /**
   * Events between what is here and `latest`, at most `limit`; none where the server will not say.
   * Spec: server-server API, POST get_missing_events.
   */
  missingEvents(request: {
    readonly roomId: string
    /** The forward extremities here. */
    readonly earliest: readonly string[]
    /** The events whose prev events are missing. */
    readonly latest: readonly string[]
    readonly limit: number
  }): Promise<readonly JsonValue[]>
  /** The events of these ids, as far as they are to be had. Spec: server-server API, GET event, GET event_auth. */
  events(roomId: string, eventIds: readonly string[]): Promise<readonly JsonValue[]>
  /** The ids of the state before an event; undefined where the server will not say. Spec: server-server API, GET state_ids. */
  stateIdsBefore(roomId: string, eventId: string): Promise<readonly string[] | undefined>
}

/** Nobody to ask. */
export const NO_SOURCE: EventSource = {
  missingEvents: async () => [],
  events: async () => [],
  stateIdsBefore: async () => undefined,
}
