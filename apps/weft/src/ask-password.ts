import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { OperatorError } from '@weft/kernel'
import { UsageError } from './usage.ts'

/** Asks twice on the terminal, which does not show what is typed. @throws OperatorError when nobody can be asked, or gives up */
export async function askNewPassword(): Promise<string> {
  if (!process.stdin.isTTY) throw new UsageError('give --password or --password-file: there is no terminal to ask on')
  const password = await askHidden('Password: ')
  if (password === '') throw new OperatorError('an empty password is no password')
  if ((await askHidden('Again: ')) !== password) throw new OperatorError('these were two passwords: nothing was done')
  return password
}

async function askHidden(question: string): Promise<string> {
  process.stdout.write(question)
  // The terminal's own echo is off while readline reads it; readline's goes nowhere.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  const terminal = createInterface({ input: process.stdin, output: nowhere, terminal: true })
  const givenUp = new Promise<never>((_, reject) => {
    for (const way of ['SIGINT', 'close'] as const) terminal.once(way, () => reject(new OperatorError('nothing was done')))
  })
  try {
    return await Promise.race([terminal.question(''), givenUp])
  } finally {
    givenUp.catch(() => {
      // Closing is a way of giving up, too; after an answer nobody waits for it.
    })
    terminal.close()
    process.stdout.write('\n')
  }
}
