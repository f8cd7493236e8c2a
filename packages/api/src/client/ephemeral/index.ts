import type { AnyEndpoint } from '@weft/http'
import { postReceipt } from './post-receipt.ts'
import { sendToDevice } from './send-to-device.ts'
import { setReadMarkers } from './set-read-markers.ts'
import { setTyping } from './set-typing.ts'

/** Endpoints for what is no event: typing, receipts, read markers, to-device messages. */
export const clientEphemeral: readonly AnyEndpoint[] = [postReceipt, sendToDevice, setReadMarkers, setTyping]
