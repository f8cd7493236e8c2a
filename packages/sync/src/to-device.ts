import type { InboxRow, SyncReader } from '@weft/storage'
import type { SyncScope } from './room-work.ts'
import type { UserView } from './user-view.ts'

/** Messages in one answer. */
const TO_DEVICE_PAGE = 100

export interface ToDevicePage {
  readonly messages: readonly InboxRow[]
  /** Where the next answer goes on: the last message delivered where the page was cut. */
  readonly position: number
}

/**
 * The device's next messages. By its `since` the device shows what it has received: that, of this device only, is deleted here;
 * everything later is delivered again until a later `since` comes.
 * Spec: client-server API, "Send-to-Device messaging", "Server behaviour".
 */
export function loadToDevice(view: UserView, scope: SyncScope, reader: SyncReader): ToDevicePage | Promise<ToDevicePage> {
  const { deviceId } = scope
  const { clear, read } = inboxWork(view, scope)
  if (deviceId === undefined || (!clear && !read)) return { messages: [], position: inboxPosition(scope) }
  return readPage(view, scope, deviceId, scope.since?.toDevice ?? 0, clear, read, reader)
}

/** What PostgreSQL is needed for: to delete what the device has, to read what it has not. */
export function inboxWork(view: UserView, { deviceId, since }: SyncScope): { readonly clear: boolean; readonly read: boolean } {
  if (deviceId === undefined) return { clear: false, read: false }
  const inbox = view.inbox(deviceId)
  const from = since?.toDevice ?? 0
  // Up to the beginning nothing is to be deleted: whatever is there will be delivered from here.
  if (from === 0 && inbox.cleared < 0) inbox.cleared = 0
  return {
    clear: since !== undefined && from > inbox.cleared && (inbox.cleared < 0 || inbox.delivered > inbox.cleared),
    read: from < view.floor.toDevice || inbox.newest > from,
  }
}

/** Where the device stands once there is nothing for it. */
export function inboxPosition({ since, now }: SyncScope): number {
  return Math.max(now.toDevice, since?.toDevice ?? 0)
}

async function readPage(
  view: UserView,
  scope: SyncScope,
  deviceId: string,
  from: number,
  clear: boolean,
  read: boolean,
  reader: SyncReader,
): Promise<ToDevicePage> {
  const { userId, now } = scope
  const inbox = view.inbox(deviceId)
  const [messages] = await Promise.all([
    read ? reader.inbox(userId, deviceId, from, now.toDevice, TO_DEVICE_PAGE + 1) : [],
    clear ? reader.clearInbox(userId, deviceId, from) : undefined,
  ])
  if (clear) inbox.cleared = Math.max(inbox.cleared, from)
  const page = wholePositions(messages)
  const last = page.at(-1)?.position ?? 0
  inbox.delivered = Math.max(inbox.delivered, last)
  return { messages: page, position: page.length < messages.length ? last : Math.max(now.toDevice, from) }
}

/** At most a page. A position is the key of one message to one device, so a cut never tears one apart. */
function wholePositions(messages: readonly InboxRow[]): readonly InboxRow[] {
  return messages.length > TO_DEVICE_PAGE ? messages.slice(0, TO_DEVICE_PAGE) : messages
}
