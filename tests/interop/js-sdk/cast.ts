import type { Person } from './person.ts'

/** Who and what the parts of the conversation share. The first two parts set it, without which the others do not begin. */
export interface Cast {
  readonly baseUrl: string
  alice: Person
  bob: Person
  roomId: string
}
