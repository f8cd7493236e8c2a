import { type JsonObject, type JsonValue, own } from '@weft/matrix'
import type { PeerDraft, PeerEvent, PeerRoom } from './peer-room.ts'

/** Chance from a seed: the same seed makes the same room. */
export class Dice {
  #seed: number

  constructor(seed: number) {
    this.#seed = seed >>> 0
  }

  /** From 0 up to 1. */
  random(): number {
    this.#seed = (Math.imul(this.#seed, 1664525) + 1013904223) >>> 0
    return ((this.#seed ^ (this.#seed >>> 15)) >>> 0) / 2 ** 32
  }

  below(n: number): number {
    return Math.floor(this.random() * n)
  }

  chance(p: number): boolean {
    return this.random() < p
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T
  }

  shuffle<T>(items: readonly T[]): T[] {
    const shuffled = [...items]
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.below(i + 1)
      ;[shuffled[i], shuffled[j]] = [shuffled[j] as T, shuffled[i] as T]
    }
    return shuffled
  }
}

export interface GrowOptions {
  readonly dice: Dice
  readonly steps: number
  readonly users: readonly string[]
  /** How often an event is built on something else than the tips (default 0.4). */
  readonly forks?: number
  /** How often an event that is not allowed is sent all the same (default 0.1). */
  readonly bad?: number
  /** Builds each event on the one before, and the first on this one, rather than on tips and forks. */
  readonly on?: string
  /** The share of plain messages beside those that belong to the quarrel (default 0). */
  readonly chatter?: number
}

/**
 * Lets users quarrel: joins, kicks, bans, levels, rules, topics and messages, on forks that part and meet again. Now and then an
 * event is sent that the rules refuse, and others are built on it.
 */
export function growRoom(room: PeerRoom, options: GrowOptions): PeerEvent[] {
  const { dice, steps, users, forks = 0.4, bad = 0.1, chatter = 0 } = options
  const made: PeerEvent[] = []
  for (let tries = 0; made.length < steps && tries < steps * 20; tries++) {
    const prev = options.on === undefined ? somePrev(room, dice, forks) : [made.at(-1)?.eventId ?? options.on]
    const state = room.stateAfter(prev)
    const levelsId = state.get('m.room.power_levels', '')
    const levels = levelsId === undefined ? undefined : room.get(levelsId).pdu.content
    const draft: PeerDraft = { ...(dice.chance(chatter) ? message(dice, users) : randomDraft(dice, users, levels, room)), prev }
    const pdu = room.build(draft, state)
    if (room.allows(pdu) || dice.chance(bad)) made.push(room.observe(pdu))
  }
  return made
}

function somePrev(room: PeerRoom, dice: Dice, forks: number): string[] {
  if (!dice.chance(forks)) return dice.shuffle(room.tips).slice(0, 1 + dice.below(4))
  const recent = [...room.events.keys()].slice(4).slice(-12)
  return dice.shuffle(recent.length > 0 ? recent : room.tips).slice(0, 1 + dice.below(2))
}

function randomDraft(dice: Dice, users: readonly string[], levels: JsonObject | undefined, room: PeerRoom): PeerDraft {
  const sender = dice.pick(users)
  const target = dice.pick(users)
  const member = (stateKey: string, membership: string): PeerDraft => ({ type: 'm.room.member', sender, stateKey, content: { membership } })
  const roll = dice.random()
  if (roll < 0.2) return member(sender, 'join')
  if (roll < 0.28) return member(target, 'invite')
  if (roll < 0.36) return member(target, 'leave')
  if (roll < 0.42) return member(target, 'ban')
  if (roll < 0.45) return member(sender, 'knock')
  if (roll < 0.58) return { type: 'm.room.power_levels', sender, stateKey: '', content: randomLevels(dice, users, levels, room) }
  if (roll < 0.66) {
    return { type: 'm.room.join_rules', sender, stateKey: '', content: { join_rule: dice.pick(['public', 'invite', 'knock']) } }
  }
  if (roll < 0.86) return { type: dice.pick(['m.room.topic', 'm.room.name']), sender, stateKey: '', content: { x: dice.below(100) } }
  return message(dice, users)
}

function message(dice: Dice, users: readonly string[]): PeerDraft {
  return { type: 'm.room.message', sender: dice.pick(users), content: { body: String(dice.below(1000)) } }
}

function randomLevels(dice: Dice, users: readonly string[], before: JsonObject | undefined, room: PeerRoom): JsonObject {
  const content = structuredClone(before ?? {})
  const level = (): JsonValue => dice.pick([0, 0, 25, 50, 50, 75, 100])
  const held = own(content, 'users')
  const given = (typeof held === 'object' && held !== null ? held : {}) as JsonObject
  content.users = given
  const target = dice.pick(users)
  if (!room.version.privilegedCreators || room.creator !== target) given[target] = level()
  if (dice.chance(0.3)) content[dice.pick(['ban', 'kick', 'invite', 'state_default', 'events_default'])] = level()
  return content
}
