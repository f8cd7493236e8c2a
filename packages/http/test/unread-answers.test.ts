import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { expect, test } from '@jest/globals'
import { echo, startServer } from './harness.ts'

/** More than the kernel keeps for both ends of a connection. */
const LENGTH = 32 * 1024 * 1024

/** A client that has read the beginning of its answer, and reads on only when it is told to. */
class SlowReader {
  readonly #socket: Socket
  #read = 0

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('error', () => {
      // The end of a connection that the server has broken off.
    })
  }

  static async ask(port: number): Promise<SlowReader> {
    const socket = connect(port, '127.0.0.1')
    const reader = new SlowReader(socket)
    socket.write('GET /_matrix/client/v3/echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    await once(socket, 'readable')
    return reader
  }

  /** Bytes until the connection ended. */
  async rest(): Promise<number> {
    this.#socket.on('data', (part: Buffer) => {
      this.#read += part.length
    })
    if (!this.#socket.closed) await once(this.#socket, 'close')
    return this.#read
  }
}

test('answers that nobody reads fill no memory: the ones that have waited longest are broken off, the others get theirs', async () => {
  const endpoint = echo({ handler: async () => ({ jsonText: JSON.stringify('x'.repeat(LENGTH)) }) })
  await using server = await startServer([endpoint], { unreadAtMost: 2.5 * LENGTH })
  const readers: SlowReader[] = []
  for (let i = 0; i < 4; i++) readers.push(await SlowReader.ask(server.port))
  const [first, second, third, fourth] = await Promise.all(readers.map((reader) => reader.rest()))
  expect(first).toBeLessThan(LENGTH)
  expect(second).toBeLessThan(LENGTH)
  expect(third).toBeGreaterThan(LENGTH)
  expect(fourth).toBeGreaterThan(LENGTH)
  expect(server.lines.filter(({ level }) => level === 'error')).toEqual([])
  // What was read counts no more.
  for (let i = 0; i < 3; i++) expect((await server.send('GET', '/_matrix/client/v3/echo')).text).toHaveLength(LENGTH + 2)
})
