/** A conversation through matrix-js-sdk, every step asserted: `node tests/interop/js-sdk.ts URL`. */
import type { Cast } from './js-sdk/cast.ts'
import { firstRoom, talk } from './js-sdk/conversation.ts'
import { history, sessions } from './js-sdk/history.ts'
import { registration } from './js-sdk/registration.ts'
import { doors, ownData, profiles, roomState } from './js-sdk/state.ts'
import { runParts } from './steps.ts'

const [baseUrl] = process.argv.slice(2)
if (baseUrl === undefined) throw new Error('usage: js-sdk.ts URL')

// Parts of the library write to the console whatever logger a client is given.
for (const method of ['log', 'debug', 'info', 'warn'] as const) console[method] = () => {}

// The parts run in this order; registration sets alice and bob, the first room the room.
const cast = { baseUrl } as Cast
const passed = await runParts({
  registration: registration(cast),
  'first room': (step) => firstRoom(cast)(step),
  talk: (step) => talk(cast)(step),
  'room state': (step) => roomState(cast)(step),
  profiles: (step) => profiles(cast)(step),
  'own data': (step) => ownData(cast)(step),
  doors: (step) => doors(cast)(step),
  history: (step) => history(cast)(step),
  sessions: (step) => sessions(cast)(step),
})
// Clients that a failed part left behind still poll.
process.exit(passed ? 0 : 1)
