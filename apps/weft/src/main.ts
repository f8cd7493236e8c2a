import { cli } from './cli.ts'

const code = await cli(process.argv)
if (code !== undefined) process.exit(code)
