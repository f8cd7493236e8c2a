/** Where time and chance come from; given by the process, so that tests can hold them still. */
export interface RoomsEnvironment {
  /** Milliseconds since the epoch. */
  now(): number
  /** Random letters and digits. */
  randomId(length: number): string
  readonly serverName: string
  readonly defaultRoomVersion: string
}
