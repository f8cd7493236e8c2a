/**
 * Something that whoever runs the server can mend: the message says what is wrong and what to do. It is shown without a stack, which
 * would be about our code.
 */
export class OperatorError extends Error {
  override readonly name: string = 'OperatorError'
}

/** Says in an operator's words why an address cannot be listened on; other errors are returned as they are. */
export function listenError(error: unknown, { host, port, setting }: { host: string; port: number; setting: string }): unknown {
  const { code } = error as NodeJS.ErrnoException
  const address = `${host.includes(':') ? `[${host}]` : host}:${port}`
  if (code === 'EADDRINUSE') {
    return new OperatorError(`${address} is taken by another program. Stop that one (perhaps a second weft), or change ${setting}.`, {
      cause: error,
    })
  }
  if (code === 'EACCES') {
    return new OperatorError(`this user may not listen on ${address}. Take a port above 1023 in ${setting}, behind a reverse proxy.`, {
      cause: error,
    })
  }
  return error
}
