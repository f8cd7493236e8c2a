import { ConfigError } from '@weft/kernel'
import { Command, InvalidArgumentError } from 'commander'

/** An error that a person caused and can mend: printed without a stack. */
export class UsageError extends Error {}

/** Commands import what they need when they run: `weft --help` answers at once. */
export async function cli(argv: readonly string[]): Promise<void> {
  const program = new Command('weft')
    .description('Weft, a Matrix homeserver that scales out by process.')
    .showHelpAfterError('(weft --help lists the commands)')

  program
    .command('start')
    .description('run a homeserver: one process with PostgreSQL inside, or with --split all its processes on this machine')
    .option('-c, --config <file>', 'homeserver.yaml; made for trying out when it is not there', 'homeserver.yaml')
    .option('--split', 'real processes behind the router, with Redis and PostgreSQL')
    .option('--replicas <counts>', 'how many of each class, with --split: sync=2,router=2,writer=2', replicas)
    .action(async (options) => {
      if (options.replicas !== undefined && !options.split) throw new UsageError('--replicas goes with --split')
      const { start } = await import('./commands/start.ts')
      await start(options)
    })

  program
    .command('run <class>')
    .description('run one process of a class (router, writer, sync), for Kubernetes and systemd')
    .option('-c, --config <file>', 'homeserver.yaml; $WEFT_CONFIG when left out')
    .action(async (name, options) => (await import('./commands/run.ts')).run(name, options))

  program
    .command('migrate')
    .description('bring the database to this version; any number may run at once')
    .option('-c, --config <file>', 'homeserver.yaml; $WEFT_CONFIG when left out')
    .action(async (options) => (await import('./commands/migrate.ts')).migrateDatabase(options))

  program
    .command('register-user')
    .description('create an account on a running server, by registration_shared_secret')
    .requiredOption('-u, --user <localpart>', 'the part of the user id before the colon')
    .option('-p, --password <password>', 'asked for when left out')
    .option('--password-file <file>', 'a file that holds the password')
    .option('-a, --admin', 'make it an administrator', false)
    .option('-c, --config <file>', 'homeserver.yaml', 'homeserver.yaml')
    .option('--url <url>', 'where the server answers; the first listener of the configuration when left out')
    .action(async (options) => (await import('./commands/register-user.ts')).registerUser(options))

  program
    .command('generate-config')
    .description('write a safe homeserver.yaml with every setting, a signing key and secrets')
    .requiredOption('-s, --server-name <name>', 'the part of user ids after the colon')
    .option('-o, --output <folder>', 'where to write them', '.')
    .action(async (options) => (await import('./commands/generate-config.ts')).generateConfig(options))

  program
    .command('check-config')
    .description('check a homeserver.yaml; names file, line and remedy of what is wrong')
    .option('-c, --config <file>', 'homeserver.yaml; $WEFT_CONFIG when left out')
    .action(async (options) => (await import('./commands/check-config.ts')).checkConfig(options))

  program
    .command('routes')
    .description('which class serves which path; as a table, or as configuration of a reverse proxy')
    .option('--format <format>', 'table, nginx, haproxy (the map) or haproxy-config', 'table')
    .action(async (options) => (await import('./commands/routes.ts')).routes(options))

  program
    .command('docs')
    .description('print a generated document: workers, configuration, metrics, database, config-schema')
    .argument('<name>', 'which one')
    .action(async (name) => (await import('./commands/docs.ts')).docs(name))

  try {
    await program.parseAsync(argv as string[])
  } catch (error) {
    if (error instanceof ConfigError) process.stderr.write(`The configuration is refused:\n${error.message}\n`)
    else if (error instanceof UsageError || isMigrationError(error)) process.stderr.write(`weft: ${error.message}\n`)
    else process.stderr.write(`weft: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
    process.exit(error instanceof ConfigError || error instanceof UsageError ? 2 : 1)
  }
}

/** By name, so that `weft --help` does not load packages/storage. */
function isMigrationError(error: unknown): error is Error {
  return error instanceof Error && error.name === 'MigrationError'
}

const CLASSES = ['router', 'writer', 'sync'] as const
export type ReplicaCounts = Partial<Record<(typeof CLASSES)[number], number>>

/** `sync=2,router=2` */
function replicas(text: string): ReplicaCounts {
  const counts: ReplicaCounts = {}
  for (const part of text.split(',')) {
    const match = /^([a-z-]+)=(\d{1,2})$/.exec(part.trim())
    const name = CLASSES.find((known) => known === match?.[1])
    const count = Number(match?.[2])
    if (name === undefined || !(count >= 1 && count <= 64)) {
      throw new InvalidArgumentError(`${JSON.stringify(part)} is not CLASS=COUNT with a class of ${CLASSES.join(', ')} and 1 to 64`)
    }
    counts[name] = count
  }
  return counts
}
