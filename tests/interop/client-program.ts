import { execFile, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'

/** Longer than any conversation takes on a busy machine; short enough that all of them fit into the limit of .ci/run. */
const LIMIT_MS = 150_000

/** A program that talks to a server as a client of some library. Its last argument is the server's URL, or `--list`. */
export interface ClientProgram {
  readonly name: string
  readonly command: readonly [file: string, ...args: string[]]
}

export interface StepReport {
  readonly step: string
  /** Absent where the step passed. */
  readonly why?: string
}

/** The steps that a program has, as it lists them. */
export async function stepsOf(program: ClientProgram): Promise<string[]> {
  const [file, ...args] = program.command
  const { stdout } = await promisify(execFile)(file, [...args, '--list'])
  return stdout.trim().split('\n')
}

/**
 * Runs a program against a server and reports each step as it comes.
 * @returns what it wrote to standard error, and how it ended when that was not as it should
 */
export async function converse(
  program: ClientProgram,
  url: string,
  signal: AbortSignal,
  report: (step: StepReport) => void,
): Promise<string> {
  const [file, ...args] = program.command
  const child = spawn(file, [...args, url], { stdio: ['ignore', 'pipe', 'pipe'], signal, killSignal: 'SIGKILL' })
  const said: string[] = []
  createInterface(child.stdout).on('line', (line) => {
    const found = /^(ok|FAILED) ([^:]+: [^:]+)(?:: (.*))?$/.exec(line)
    if (found === null) said.push(line)
    else report({ step: found[2] as string, why: found[1] === 'ok' ? undefined : (found[3] ?? 'it does not say why') })
  })
  createInterface(child.stderr).on('line', (line) => said.push(line))
  const timer = setTimeout(() => {
    said.push(`${program.name} was not done after ${LIMIT_MS} ms`)
    child.kill('SIGKILL')
  }, LIMIT_MS)
  await new Promise<void>((resolve) => {
    child.once('error', (error) => said.push(`${program.name}: ${error.message}`))
    child.once('close', (code, how) => {
      if (code !== 0) said.push(`${program.name} ended with ${how ?? `exit code ${code}`}`)
      resolve()
    })
  })
  clearTimeout(timer)
  return said.join('\n')
}
