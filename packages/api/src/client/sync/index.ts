import type { AnyEndpoint } from '@weft/http'
import { sync } from './sync.ts'

/** The endpoints that tell a device what happened. */
export const clientSync: readonly AnyEndpoint[] = [sync]
