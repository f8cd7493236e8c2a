import { Registry } from '@weft/http'
import { accountEndpoints } from './client/accounts/index.ts'
import { ephemeralEndpoints } from './client/ephemeral/index.ts'
import { roomEndpoints } from './client/rooms/index.ts'
import { syncEndpoints } from './client/sync/index.ts'

/** Every endpoint of this server. What is derived from it: routing, 404 and 405, metrics, documents, proxy maps, tests. */
export const registry = new Registry([...accountEndpoints, ...roomEndpoints, ...ephemeralEndpoints, ...syncEndpoints])
