import assert from 'node:assert/strict'
import type { Part } from '../steps.ts'
import type { Cast } from './cast.ts'
import type { Person } from './person.ts'
import { logIn } from './sessions.ts'

/** Clients that could encrypt, as Element always can, in rooms that are not encrypted. */
export function encryption(): Part<Cast> {
  let alice: Person
  let bob: Person
  return {
    async 'clients with end-to-end encryption start and sync'({ baseUrl }) {
      ;[alice, bob] = await Promise.all([logIn(baseUrl, 'alice'), logIn(baseUrl, 'bob')])
      for (const person of [alice, bob]) {
        await person.client.initRustCrypto({ useIndexedDB: false })
        await person.start()
      }
    },
    async 'they talk in a room that is not encrypted'({ roomId }) {
      for (const [speaker, listener] of [
        [alice, bob],
        [bob, alice],
      ] as const) {
        const heard = await listener.sees(roomId, await speaker.says(roomId, 'In the clear'))
        assert.equal(heard.getContent().body, 'In the clear')
        assert.equal(heard.isEncrypted(), false)
      }
    },
    async 'they log out'() {
      await Promise.all([alice.logOut(), bob.logOut()])
    },
  }
}
