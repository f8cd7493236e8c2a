import { createServer } from 'node:net'

/**
 * Below the ports that Linux gives to outgoing connections and to who asks for any: until it is used, nobody is given one of these by
 * chance, and tests beside this one look elsewhere.
 */
const FIRST = 10_000
const LAST = 32_767

/** A TCP port of the loopback that is free. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST + 1))
    if (await isFree(port)) return port
  }
}

/** True when nothing listens on this port of the loopback. */
export function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
