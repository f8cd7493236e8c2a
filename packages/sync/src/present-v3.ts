import { setImmediate as turn } from 'node:timers/promises'
import {
  canonicalJson,
  type JsonObject,
  joinPdu,
  parseJsonObject,
  quoteJson,
  requireRoomVersion,
  strippedState,
  withAge,
} from '@weft/matrix'
import type { AccountDataItem } from './account-data.ts'
import type { Receipt } from './room-feed.ts'
import type { RoomWork, SyncScope } from './room-work.ts'
import { timelineStart } from './room-work.ts'
import type { TimelineEvent } from './timeline-event.ts'
import type { ToDevicePage } from './to-device.ts'

/** Younger events have no age: that clocks and answers take a moment is no age of theirs. */
const AGED_MS = 5000

/** Events in another form than their client text, by nid: for `event_format` and `event_fields`. */
export type EventForms = ReadonlyMap<number, string>

/** The parts of an answer. */
export interface Answer {
  readonly nextBatch: string
  readonly rooms: RoomSections
  readonly accountData: readonly AccountDataItem[]
  readonly toDevice: ToDevicePage
}

/** The text of the rooms of an answer by section, put together from as many parts of the rooms as there are. */
export class RoomSections {
  readonly #texts = { join: '', invite: '', knock: '', leave: '' }

  /** @param forms events in another form than the client's, where the filter asks for one */
  add(works: readonly RoomWork[], scope: SyncScope, forms: EventForms | undefined): void {
    for (const work of works) {
      const text = roomText(work, scope, forms)
      if (text === undefined) continue
      const before = this.#texts[work.section]
      const key = work.feed?.key ?? quoteJson(work.roomId)
      this.#texts[work.section] = before === '' ? `${key}:${text}` : `${before},${key}:${text}`
    }
  }

  /** The value of `rooms`; empty when there is nothing to say of any room. */
  get text(): string {
    let text = ''
    for (const section of SECTIONS) {
      if (this.#texts[section] !== '') text += `${text === '' ? '' : ','}"${section}":{${this.#texts[section]}}`
    }
    return text === '' ? '' : `{${text}}`
  }
}

const SECTIONS = ['join', 'invite', 'knock', 'leave'] as const

const STORED = { maxDepth: 1000, allowLoneSurrogates: true }

/**
 * Writes an answer of GET /sync: pieces of text that are put together, events as they were spliced once for everybody. No object is
 * built of it and no event serialised again.
 * Spec: client-server API, "Syncing"; sync.yaml.
 */
export function presentV3(answer: Answer): { readonly text: string; readonly empty: boolean } {
  const rooms = answer.rooms.text
  let text = `{"next_batch":${quoteJson(answer.nextBatch)}`
  if (answer.accountData.length > 0) text += `,"account_data":{"events":[${answer.accountData.map(accountDataText).join(',')}]}`
  if (answer.toDevice.messages.length > 0) {
    text += `,"to_device":{"events":[${answer.toDevice.messages.map((message) => message.messageJson).join(',')}]}`
  }
  if (rooms !== '') text += `,"rooms":${rooms}`
  return { text: `${text}}`, empty: rooms === '' && answer.accountData.length === 0 && answer.toDevice.messages.length === 0 }
}

/** `undefined` for a room about which there is nothing to say. */
function roomText(work: RoomWork, scope: SyncScope, forms: EventForms | undefined): string | undefined {
  if (work.section === 'invite' || work.section === 'knock') return pendingText(work, scope)
  const ephemeral = ephemeralText(work, scope)
  const hasNews =
    work.section === 'leave' ||
    work.full ||
    work.timeline.length > 0 ||
    work.state.length > 0 ||
    work.accountData.length > 0 ||
    work.summary !== undefined ||
    ephemeral !== ''
  if (!hasNews) return undefined
  const timeline = `"timeline":{"events":[${eventsText(work.timeline, forms, (event) => agedText(event, work, scope))}],"prev_batch":"p${timelineStart(work)}","limited":${work.limited}}`
  const state = eventsText(work.state, forms, (event) => textOf(event, work, scope))
  let text = `{${timeline},"${scope.stateAfter ? 'state_after' : 'state'}":{"events":[${state}]}`
  text += `,"account_data":{"events":[${work.accountData.map(accountDataText).join(',')}]}`
  if (work.section === 'join') text += `,"ephemeral":{"events":[${ephemeral}]}`
  if (work.summary !== undefined) text += `,"summary":${summaryText(work, scope)}`
  return `${text}}`
}

function eventsText(events: readonly TimelineEvent[], forms: EventForms | undefined, shown: (event: TimelineEvent) => string): string {
  let text = ''
  for (const event of events) {
    if (text !== '') text += ','
    text += forms?.get(event.facts.nid) ?? shown(event)
  }
  return text
}

function textOf(event: TimelineEvent, work: RoomWork, scope: SyncScope): string {
  return event.text(scope.userId, scope.deviceId, work.relations.get(event.facts.eventId))
}

/** What is new goes out as the text that everybody shares: a client takes what has no age for just sent. */
function agedText(event: TimelineEvent, work: RoomWork, scope: SyncScope): string {
  const text = textOf(event, work, scope)
  const ms = scope.ts - event.facts.originServerTs
  return ms < AGED_MS ? text : withAge(text, ms)
}

/** An invite or a knock; invites of ignored users, and those that the user wants none of, are not shown. Spec: client-server API, "Stripped state", "Ignoring Users", "Invite permission". */
function pendingText(work: RoomWork, scope: SyncScope): string | undefined {
  const member = work.state.find((event) => event.facts.nid === work.memberNid)
  if (member === undefined) return undefined
  if (work.section === 'invite' && (scope.blocksInvites || scope.ignored.has(member.facts.sender))) return undefined
  const events = work.state.map(({ facts, content }) =>
    canonicalJson(strippedState({ type: facts.type, stateKey: facts.stateKey ?? '', sender: facts.sender, content })),
  )
  return `{"${work.section}_state":{"events":[${events.join(',')}]}}`
}

function summaryText(work: RoomWork, scope: SyncScope): string {
  const { joined, invited, heroes } = work.summary ?? { joined: 0, invited: 0, heroes: [] }
  const others = heroes.filter((userId) => userId !== scope.userId).slice(0, 5)
  return `{"m.heroes":[${others.map(quoteJson).join(',')}],"m.joined_member_count":${joined},"m.invited_member_count":${invited}}`
}

function ephemeralText(work: RoomWork, scope: SyncScope): string {
  if (work.section !== 'join' || (work.receipts.length === 0 && work.typing === undefined)) return ''
  const filter = scope.filter.room.ephemeral
  const pieces: string[] = []
  if (work.typing !== undefined && filter.matches({ type: 'm.typing', roomId: work.roomId })) {
    pieces.push(`{"type":"m.typing","content":{"user_ids":[${work.typing.userIds.map(quoteJson).join(',')}]}}`)
  }
  if (work.receipts.length > 0 && filter.matches({ type: 'm.receipt', roomId: work.roomId })) pieces.push(...receiptTexts(work.receipts))
  return pieces.join(',')
}

/**
 * One `m.receipt` for each thread: an event has room for one receipt of a user at an event only.
 * Spec: client-server API, "Receipts".
 */
function receiptTexts(receipts: readonly Receipt[]): string[] {
  const threads = new Map<string | undefined, Map<string, Map<string, Receipt>>>()
  // The newest receipt of a user and type is the one that counts: later rows replace earlier ones.
  for (const receipt of receipts) {
    const types = entryOf(threads, receipt.threadId)
    const users = entryOf(types, receipt.receiptType)
    users.set(receipt.userId, receipt)
  }
  return [...threads.values()].map((types) => {
    const events = new Map<string, Map<string, string[]>>()
    for (const [type, users] of types) {
      for (const [userId, receipt] of users) {
        const thread = receipt.threadId === undefined ? '' : `,"thread_id":${quoteJson(receipt.threadId)}`
        const text = `${quoteJson(userId)}:{"ts":${receipt.ts}${thread}}`
        const ofEvent = entryOf(events, receipt.eventId)
        const ofType = ofEvent.get(type)
        if (ofType === undefined) ofEvent.set(type, [text])
        else ofType.push(text)
      }
    }
    const content = [...events].map(
      ([eventId, ofTypes]) =>
        `${quoteJson(eventId)}:{${[...ofTypes].map(([type, users]) => `${quoteJson(type)}:{${users.join(',')}}`).join(',')}}`,
    )
    return `{"type":"m.receipt","content":{${content.join(',')}}}`
  })
}

function entryOf<K, V>(map: Map<K, Map<string, V>>, key: K): Map<string, V> {
  let entry = map.get(key)
  if (entry === undefined) {
    entry = new Map()
    map.set(key, entry)
  }
  return entry
}

function accountDataText(item: AccountDataItem): string {
  return `{"type":${quoteJson(item.type)},"content":${item.content}}`
}

/** Where the other halves of PDUs are read from. */
export interface EnvelopeSource {
  envelopes(nids: readonly number[]): Promise<Map<number, { envelope: string; roomId: string; roomVersion: string }>>
}

/** Events that are brought into another form in one turn of the event loop: each is parsed and serialised anew, some 50 µs. */
const FORMS_A_TURN = 500

/**
 * The events of an answer as its filter's `event_format` and `event_fields` want them; `undefined` for the ordinary client format.
 * Spec: client-server API, "Filtering", Filter.
 */
export async function eventForms(works: readonly RoomWork[], scope: SyncScope, source: EnvelopeSource): Promise<EventForms | undefined> {
  const { eventFormat, eventFields } = scope.filter
  if (eventFormat === 'client' && eventFields === undefined) return undefined
  const events = new Map<number, () => string>()
  for (const work of works) {
    for (const event of work.state) events.set(event.facts.nid, () => textOf(event, work, scope))
    for (const event of work.timeline) events.set(event.facts.nid, () => agedText(event, work, scope))
  }
  const envelopes = eventFormat === 'federation' ? await source.envelopes([...events.keys()]) : undefined
  const forms = new Map<number, string>()
  for (const [nid, text] of events) {
    const shown = parseJsonObject(text(), STORED)
    const half = envelopes?.get(nid)
    const json: JsonObject =
      half === undefined ? shown : { ...pduOf(shown, half), ...(shown.unsigned === undefined ? {} : { unsigned: shown.unsigned }) }
    forms.set(nid, canonicalJson(eventFields === undefined ? json : eventFields(json)))
    if (forms.size % FORMS_A_TURN === 0) await turn()
  }
  return forms
}

function pduOf(shown: JsonObject, half: { envelope: string; roomId: string; roomVersion: string }): JsonObject {
  const { event_id: _eventId, unsigned: _unsigned, ...client } = shown
  return joinPdu(canonicalJson(client), half.envelope, half.roomId, requireRoomVersion(half.roomVersion)) as JsonObject
}
