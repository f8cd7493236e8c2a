import { existsSync } from 'node:fs'
import { OperatorError } from '@weft/kernel'
import { InvalidArgumentError } from 'commander'

/** The command was given in a way that it cannot be run: exit code 2. */
export class UsageError extends OperatorError {
  override readonly name = 'UsageError'
}

const CLASSES = ['router', 'writer', 'sync'] as const
export type ReplicaCounts = Partial<Record<(typeof CLASSES)[number], number>>
const MOST = 64

/** `sync=2,router=2` @throws InvalidArgumentError, which names the part that is wrong */
export function parseReplicas(text: string): ReplicaCounts {
  const counts: ReplicaCounts = {}
  for (const part of text.split(',')) {
    const match = /^([a-z-]+)=(\d{1,3})$/.exec(part.trim())
    const name = CLASSES.find((known) => known === match?.[1])
    const count = Number(match?.[2])
    if (name === undefined || !(count >= 1 && count <= MOST)) {
      throw new InvalidArgumentError(
        `${JSON.stringify(part)} is not CLASS=COUNT: a class is ${CLASSES.join(', ')}, a count 1 to ${MOST}. Example: sync=2,router=2`,
      )
    }
    if (counts[name] !== undefined) throw new InvalidArgumentError(`${name} is given twice.`)
    counts[name] = count
  }
  return counts
}

/** The file to read: the one that was given, else ./homeserver.yaml where there is one; undefined leaves all to the environment. */
export function configPath(given: string | undefined): string | undefined {
  return given ?? (existsSync('homeserver.yaml') ? 'homeserver.yaml' : undefined)
}
