import type { ProcessClass, ReactionsFor } from '../stream.ts'
import { accountDataStream } from './account-data.ts'
import { deviceChangesStream } from './device-changes.ts'
import { currentStateDeltasStream, eventsStream } from './events.ts'
import { receiptsStream } from './receipts.ts'
import { toDeviceStream } from './to-device.ts'
import { typingStream } from './typing.ts'

/** Every stream there is, in the order of their letters in a sync token. */
export const streams = {
  events: eventsStream,
  currentStateDeltas: currentStateDeltasStream,
  receipts: receiptsStream,
  typing: typingStream,
  accountData: accountDataStream,
  toDevice: toDeviceStream,
  deviceChanges: deviceChangesStream,
} as const

/** The streams with their types. */
export type Streams = typeof streams

/** One reaction for each stream that a class reads: leaving one out does not compile. */
export type ReactionsOf<Class extends ProcessClass> = ReactionsFor<Streams, Class>
