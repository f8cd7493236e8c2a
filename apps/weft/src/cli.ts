import { ConfigError, OperatorError, VERSION } from '@weft/kernel'
import { Command, CommanderError, Option } from 'commander'
import { parseReplicas, UsageError } from './usage.ts'

/** Where help and what went wrong are written. */
export interface Output {
  out(text: string): void
  err(text: string): void
}

const standard: Output = { out: (text) => process.stdout.write(text), err: (text) => process.stderr.write(text) }

/**
 * Runs the command of `argv`, which is as in `process.argv`. Commands import what they need when they run: `weft --help` answers at once.
 * @returns the exit code when it is time to exit: 0, 1 after a failure, 2 when the command or the configuration has to be changed first;
 * undefined when the command is done, or lives on in what it started
 */
export async function cli(argv: readonly string[], output: Output = standard): Promise<number | undefined> {
  try {
    await program(output).parseAsync(argv as string[])
    return undefined
  } catch (error) {
    return tell(error, output)
  }
}

/** Tells why a command ends. @returns the exit code */
function tell(error: unknown, { err }: Output): number {
  if (error instanceof CommanderError) {
    // It has told already. Without any command the help is an error.
    return error.exitCode === 0 ? 0 : 2
  }
  if (error instanceof ConfigError) {
    err(`The configuration is refused:\n${error.message}\n`)
    return 2
  }
  if (error instanceof OperatorError) err(`weft: ${error.message}\n`)
  else err(`weft: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`)
  return error instanceof UsageError ? 2 : 1
}

function program({ out, err }: Output): Command {
  const weft = new Command('weft')
    .description('Weft, a Matrix homeserver that scales out by process.')
    .version(VERSION, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print this help')
    .helpCommand('help [command]', 'print the help of a command')
    .exitOverride()
    .configureOutput({ writeOut: out, writeErr: err })
    .showHelpAfterError("('weft --help' lists the commands)")
    .addHelpText(
      'after',
      `
Try it out:    weft start
Set one up:    weft generate-config --server-name example.org
The manual:    docs/configuration.md and docs/how-to`,
    )
  const command = (name: string, summary: string, examples: string) =>
    weft
      .command(name)
      .summary(summary)
      .description(`${summary.charAt(0).toUpperCase()}${summary.slice(1)}.`)
      .showHelpAfterError(`('weft ${name.split(' ')[0]} --help' explains it)`)
      .addHelpText('after', `\nExamples:\n${examples.replaceAll(/^/gm, '  ')}`)

  command('start', 'run a homeserver on this machine', 'weft start\nweft start --split --replicas sync=2,router=2,writer=2')
    .addOption(config('a file for trying out is made where there is none').default('homeserver.yaml'))
    .option('--split', 'as real processes behind the router, with Redis and PostgreSQL; without it, as one process')
    .option('--replicas <counts>', 'how many processes of each class, with --split; 1 of each when left out', parseReplicas)
    .action(async (options) => {
      if (options.replicas !== undefined && !options.split) throw new UsageError('--replicas goes with --split')
      const { start } = await import('./commands/start.ts')
      await start(options)
    })

  command('run', 'run one process of a class, for Kubernetes and systemd', 'weft run sync --config /etc/weft/homeserver.yaml')
    .argument('<class>', 'router, writer or sync')
    .addOption(config())
    .action(async (name, options) => (await import('./commands/run.ts')).run(name, options))

  command('migrate', 'bring the database to this version; any number may do so at once', 'weft migrate --config /etc/weft/homeserver.yaml')
    .addOption(config())
    .action(async (options) => (await import('./commands/migrate.ts')).migrateDatabase(options))

  command(
    'register-user',
    'create an account on a running server',
    'weft register-user -u alice\nweft register-user -u alice --admin --password-file alice.txt',
  )
    .requiredOption('-u, --user <localpart>', 'the user id, or the part of it before the colon')
    .option('-p, --password <password>', 'asked for when left out; others on this machine can see what is given here')
    .option('--password-file <file>', 'a file that holds the password')
    .option('-a, --admin', 'make it an administrator', false)
    .addOption(config('its registration_shared_secret is shown to the server').default('homeserver.yaml'))
    .option('--url <url>', 'where the server answers; the first listener of homeserver.yaml when left out')
    .action(async (options) => (await import('./commands/register-user.ts')).registerUser(options))

  const room = command('room', 'look into a room', "weft room inspect '#weft:example.org'")
  room
    .command('inspect')
    .summary('say what the database holds of a room')
    .description(
      "Say what the database holds of a room: members, state groups, extremities, sizes, positions.\nOnly reads, beside a running server or without one; each of the room's events.",
    )
    .argument('<room>', 'its id, or an alias of this server')
    .option('--json', 'for programs: all of it as one JSON object', false)
    .addOption(config())
    .showHelpAfterError("('weft room inspect --help' explains it)")
    .addHelpText('after', "\nExamples:\n  weft room inspect '#weft:example.org'\n  weft room inspect '!abc' --json | jq .stateGroups")
    .action(async (name, options) => (await import('./commands/inspect-room.ts')).inspect(name, options))

  command('generate-config', 'write a safe homeserver.yaml, a signing key and secrets', 'weft generate-config -s example.org -o /etc/weft')
    .requiredOption('-s, --server-name <name>', 'the part of user ids after the colon; it cannot be changed later')
    .option('-o, --output <folder>', 'where to write them', '.')
    .action(async (options) => (await import('./commands/generate-config.ts')).generateConfig(options))

  command('check-config', 'check a homeserver.yaml and say what to correct', 'weft check-config --config /etc/weft/homeserver.yaml')
    .addOption(config())
    .action(async (options) => (await import('./commands/check-config.ts')).checkConfig(options))

  command('routes', 'print which class serves which path', 'weft routes\nweft routes --format nginx > /etc/nginx/weft-map.conf')
    .option('--format <format>', 'table, nginx, haproxy (the map) or haproxy-config', 'table')
    .action(async (options) => (await import('./commands/routes.ts')).routes(options))

  command('docs', 'print a document that is generated from the code', 'weft docs configuration')
    .argument('<name>', 'workers, configuration, config-schema, metrics or database')
    .action(async (name) => (await import('./commands/docs.ts')).docs(name))

  return weft
}

function config(about = 'else ./homeserver.yaml, else the environment alone'): Option {
  return new Option('-c, --config <file>', `homeserver.yaml; ${about}`).env('WEFT_CONFIG')
}
