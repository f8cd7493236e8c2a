/** A conversation through matrix-js-sdk, every step asserted: `node tests/interop/js-sdk.ts URL`, or `--list` for the steps. */
import type { Cast } from './js-sdk/cast.ts'
import { firstRoom, talk } from './js-sdk/conversation.ts'
import { doors } from './js-sdk/doors.ts'
import { encryption } from './js-sdk/encryption.ts'
import { history } from './js-sdk/history.ts'
import { registration } from './js-sdk/registration.ts'
import { relations } from './js-sdk/relations.ts'
import { sessions } from './js-sdk/sessions.ts'
import { ownData, profiles, roomState } from './js-sdk/state.ts'
import { listSteps, type Parts, runParts } from './steps.ts'

// Parts of the library write to the console whatever logger a client is given.
for (const method of ['log', 'debug', 'info', 'warn'] as const) console[method] = () => {}

const parts: Parts<Cast> = {
  registration: registration(),
  'first room': firstRoom(),
  talk: talk(),
  relations: relations(),
  'room state': roomState(),
  profiles: profiles(),
  'own data': ownData(),
  doors: doors(),
  history: history(),
  encryption: encryption(),
  sessions: sessions(),
}

const [argument] = process.argv.slice(2)
if (argument === undefined) throw new Error('usage: js-sdk.ts URL | --list')
if (argument === '--list') process.stdout.write(`${listSteps(parts).join('\n')}\n`)
else await runParts(parts, { baseUrl: argument } as Cast, ['registration', 'first room'])
// Clients that a failed part left behind still poll.
process.exit(0)
