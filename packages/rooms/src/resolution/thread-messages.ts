import type { ResolutionLimits } from '@weft/matrix'
import type { Connection } from '@weft/storage'
import type { Resolution, ResolutionRequest } from './resolution.ts'

/** What a resolver thread is started with. */
export interface ThreadData {
  readonly connection: Connection
  readonly applicationName: string
  readonly limits: ResolutionLimits
}

export type ToThread =
  | { readonly kind: 'resolve'; readonly id: number; readonly request: ResolutionRequest }
  | { readonly kind: 'cancel'; readonly id: number }

export type FromThread =
  | { readonly id: number; readonly resolution: Resolution }
  | { readonly id: number; readonly error: { readonly name: string; readonly message: string } }
