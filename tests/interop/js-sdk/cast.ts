import type { Person } from './person.ts'

/** Who and what the parts of the conversation share; each is set by the part that makes it. */
export interface Cast {
  readonly baseUrl: string
  alice: Person
  bob: Person
  roomId: string
}
