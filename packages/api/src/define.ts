import { endpointFactory } from '@weft/http'
import type { SyncServices, WriterServices } from './services.ts'

/** `defineEndpoint` of this server: one file per endpoint, all its facts in it (docs/how-to/add-an-endpoint.md). */
export const defineEndpoint = endpointFactory<{ writer: WriterServices; sync: SyncServices }>()
