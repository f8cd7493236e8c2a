import { cli } from './cli.ts'

await cli(process.argv)
