import { Registry } from '@weft/http'
import { clientAccounts } from './client/accounts/index.ts'
import { clientEphemeral } from './client/ephemeral/index.ts'
import { clientRooms } from './client/rooms/index.ts'
import { clientSync } from './client/sync/index.ts'

/** Every endpoint of this server. What is derived from it: routing, 404 and 405, metrics, documents, proxy maps, tests. */
export const registry = new Registry([...clientAccounts, ...clientRooms, ...clientEphemeral, ...clientSync])
