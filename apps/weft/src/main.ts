import { cli } from './cli.ts'

/** As a shell shows the end by SIGPIPE, which Node ignores. */
const READER_LEFT = 141

// `weft docs configuration | head`: whoever reads has enough. A server whose log nobody takes any more ends, too.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(READER_LEFT)
})

const code = await cli(process.argv)
if (code !== undefined) process.exit(code)
