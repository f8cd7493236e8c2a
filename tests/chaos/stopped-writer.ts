import { directSender, type Sender, TestClient } from '@weft/testkit'
import type { Machine } from './machine.ts'

const STALE_MESSAGES = 8

/** Messages left at the door of a writer that stands still (kill -STOP): it reads them when it goes on, and must not write them. */
export class StaleMail {
  readonly #client: TestClient
  readonly #roomId: string
  readonly #send: Sender
  #answers: Promise<number>[] = []

  private constructor(client: TestClient, roomId: string, send: Sender) {
    this.#client = client
    this.#roomId = roomId
    this.#send = send
  }

  /** Looks up where the writer listens, and makes a room to write to. */
  static async prepare(machine: Machine, instance: string): Promise<StaleMail> {
    const redis = machine.redis()
    const known = await redis.hgetall((await redis.keys('weft:*:instances'))[0] as string)
    redis.disconnect()
    const { address } = JSON.parse(String(known[instance]).replace(/^\d+ /, '')) as { address: string }
    const client = await TestClient.register(directSender(machine.urls[0] as string), `stale-${instance}`)
    return new StaleMail(client, await client.createRoom(), directSender(address))
  }

  /** Past the routers, which know better by now, into the sockets of the process that stands still. */
  post(): void {
    const late = this.#client.through(this.#send)
    this.#answers = Array.from({ length: STALE_MESSAGES }, (_, i) =>
      late
        .attempt('PUT', `/_matrix/client/v3/rooms/${encodeURIComponent(this.#roomId)}/send/m.room.message/${i}`, { body: `stale ${i}` })
        .then(
          ({ status }) => status,
          // It ended without an answer.
          () => 0,
        ),
    )
  }

  /** What is wrong, once all are answered. */
  async faults(): Promise<string[]> {
    const statuses = await Promise.all(this.#answers)
    const faults = statuses.filter((status) => status !== 0 && status !== 503).map((status) => `the stopped writer answered ${status}`)
    if (statuses.length === 0) faults.push('nothing was posted')
    const written = (await this.#client.history(this.#roomId)).filter((event) => String(event.content.body).startsWith('stale'))
    return [...faults, ...written.map((event) => `the stopped writer wrote ${event.event_id}`)]
  }
}
