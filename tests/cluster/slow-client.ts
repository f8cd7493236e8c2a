import { connect } from 'node:net'

/** What became of a client that was slow on purpose. */
export interface SlowOutcome {
  /** The answer it got before its connection ended. */
  readonly answer: string
  /** Bytes that it got rid of. */
  readonly sent: number
}

/** Sends a request at once up to `slowFrom`, and from there a byte every few ms; resolves when the server has ended the connection. */
export function sendSlowly(url: string, text: string, slowFrom: number): Promise<SlowOutcome> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname)
    let answer = ''
    let sent = slowFrom
    socket.setNoDelay(true)
    socket.write(text.slice(0, slowFrom))
    const drip = setInterval(() => {
      if (sent === text.length) socket.destroy(new Error('it could send its whole request'))
      else if (socket.writable) socket.write(text.charAt(sent++))
    }, 5)
    socket.setEncoding('utf8').on('data', (part: string) => {
      answer += part
    })
    let failure: NodeJS.ErrnoException | undefined
    socket.on('error', (error: NodeJS.ErrnoException) => {
      // A byte that was on its way when the server closed.
      if (error.code !== 'ECONNRESET' && error.code !== 'EPIPE') failure = error
    })
    socket.on('close', () => {
      clearInterval(drip)
      if (failure === undefined) resolve({ answer, sent })
      else reject(failure)
    })
  })
}
