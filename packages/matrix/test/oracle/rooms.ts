/** Writes random rooms, and what this package says of them, as JSON: see README.md. */
import {
  authEventView,
  authStateKeys,
  buildEvent,
  checkEventAuth,
  type EventReference,
  type JsonObject,
  type JsonValue,
  type LocalSigner,
  makeSigner,
  ownArray,
  ownObject,
  type Pdu,
  type ResolutionEvent,
  type RoomVersion,
  redact,
  requireRoomVersion,
  type StateEventView,
  StateMap,
  StateResolution,
  serverNameOf,
  signJson,
} from '../../src/index.ts'

type StateIds = StateMap<string>
interface Place {
  readonly state: StateIds
  readonly heads: readonly string[]
}

const USERS = ['@alice:one', '@bob:one', '@carol:two', '@dave:two', '@eve:three']
const KEY = 'ed25519:1'
const signers = new Map(['one', 'two', 'three'].map((server, i) => [server, makeSigner(server, KEY, new Uint8Array(32).fill(i + 1))]))
const identityServers = [makeSigner('id', KEY, new Uint8Array(32).fill(8)), makeSigner('id', KEY, new Uint8Array(32).fill(9))] as const

let seed = Number(process.argv[2] ?? 1)
const rooms = Number(process.argv[3] ?? 100)
const only = process.argv[4]

function random(): number {
  seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
  return ((seed ^ (seed >>> 15)) >>> 0) / 2 ** 32
}
const below = (n: number): number => Math.floor(random() * n)
const pick = <T>(items: readonly T[]): T => items[below(items.length)] as T
const chance = (p: number): boolean => random() < p

class RandomRoom {
  readonly events = new Map<string, ResolutionEvent & { readonly pdu: Pdu }>()
  readonly checks: JsonValue[] = []
  readonly version: RoomVersion
  readonly creator = pick(USERS)
  /** Lets in now and then what is not allowed, as a state in which it would be may exist elsewhere. */
  readonly #loose = chance(0.4)
  readonly #name: string
  roomId: string | undefined
  #ts = 1000

  constructor(version: RoomVersion, name: string) {
    this.version = version
    this.#name = name
    this.roomId = version.roomIdIsCreateHash ? undefined : `!${name}:${serverNameOf(this.creator)}`
  }

  add(at: Place, type: string, stateKey: string | undefined, sender: string, content: JsonObject): Place {
    const { version } = this
    const auth = authStateKeys(version, { type, stateKey, sender, content }).flatMap(([t, k]) => at.state.get(t, k) ?? [])
    const references = (ids: readonly string[]): EventReference[] =>
      version.eventFormat === 1 ? ids.map((id): EventReference => [id, { sha256: 'x' }]) : [...ids]
    this.#ts += below(3) - (chance(0.2) ? 3 : 0)
    const server = serverNameOf(sender) as string
    const built = buildEvent(
      {
        version,
        roomId: this.roomId,
        type,
        stateKey,
        sender,
        content,
        originServerTs: this.#ts,
        authEvents: references(auth),
        prevEvents: references(at.heads),
        depth: 1 + Math.max(0, ...at.heads.map((id) => this.event(id).depth)),
        eventId: version.eventFormat === 1 ? `$${this.#name}_${this.events.size}:${server}` : undefined,
      },
      signers.get(server) as LocalSigner,
    )
    this.roomId ??= built.roomId
    const { pdu, eventId } = built
    this.events.set(eventId, {
      pdu,
      eventId,
      type,
      stateKey: stateKey as string,
      sender,
      content,
      roomId: pdu.room_id,
      authEvents: auth,
      prevEvents: at.heads,
      originServerTs: pdu.origin_server_ts,
      depth: pdu.depth,
      authDepth: 1 + Math.max(-1, ...auth.map((id) => this.event(id).authDepth as number)),
    })
    const state = new StateMap<StateEventView>()
    for (const [t, k, id] of at.state.entries()) state.set(t, k, this.event(id))
    const verdict = checkEventAuth(version, authEventView(pdu, eventId), state)
    this.checks.push({ event: eventId, state: [...at.state.entries()].map(([, , id]) => id), rule: verdict.ok ? null : verdict.rule })
    const taken = verdict.ok || (this.#loose && chance(0.2) && !(type === 'm.room.power_levels' && this.#isMalformed(content)))
    if (!taken) return at
    return { state: stateKey === undefined ? at.state : at.state.clone().set(type, stateKey, eventId), heads: [eventId] }
  }

  event(id: string): ResolutionEvent & { readonly pdu: Pdu } {
    return this.events.get(id) as ResolutionEvent & { readonly pdu: Pdu }
  }

  create(): Place {
    const content: JsonObject = { room_version: this.version.id }
    if (!this.version.implicitCreator) content.creator = this.creator
    if (chance(0.3)) content.additional_creators = [pick(USERS)]
    let at = this.add({ state: new StateMap(), heads: [] }, 'm.room.create', '', this.creator, content)
    at = this.add(at, 'm.room.member', this.creator, this.creator, { membership: 'join' })
    if (chance(0.9)) at = this.add(at, 'm.room.power_levels', '', this.creator, this.#levels(undefined))
    if (chance(0.9)) at = this.add(at, 'm.room.join_rules', '', this.creator, { join_rule: chance(0.5) ? 'public' : this.#joinRule() })
    return at
  }

  run(at: Place, steps: number): Place {
    let place = at
    for (let i = 0; i < steps; i++) place = this.#step(place)
    return place
  }

  resolve(places: readonly Place[]): StateIds {
    const resolution = new StateResolution(
      this.version,
      places.map(({ state }) => state),
    )
    for (;;) {
      const step = resolution.next()
      if (step.kind === 'resolved') return step.state
      if (step.kind === 'exceeded') throw new Error(step.reason)
      resolution.add({ nodes: step.nodes.map((id) => this.event(id)), events: step.events.map((id) => this.event(id)) })
    }
  }

  #step(at: Place): Place {
    const sender = pick(USERS)
    const target = pick(USERS)
    const membership = (value: string, of: string, more: JsonObject = {}) =>
      this.add(at, 'm.room.member', of, sender, { ...more, membership: value })
    const dice = random()
    if (dice < 0.3) {
      const more: JsonObject = {}
      if (chance(0.5)) more.join_authorised_via_users_server = pick(USERS)
      if (chance(0.3)) more.displayname = String(below(100))
      return membership('join', chance(0.95) ? sender : target, more)
    }
    if (dice < 0.4) return membership('invite', target, chance(0.3) ? { third_party_invite: this.#thirdPartyInvite(target) } : {})
    if (dice < 0.5) return membership('leave', target)
    if (dice < 0.55) return membership('leave', sender)
    if (dice < 0.62) return membership('ban', target)
    if (dice < 0.65) return membership('knock', sender)
    if (dice < 0.78) {
      const current = at.state.get('m.room.power_levels', '')
      return this.add(at, 'm.room.power_levels', '', sender, this.#levels(current === undefined ? undefined : this.event(current).content))
    }
    if (dice < 0.84) return this.add(at, 'm.room.join_rules', '', sender, { join_rule: this.#joinRule() })
    if (dice < 0.91) return this.add(at, pick(['m.room.topic', 'm.room.name']), '', sender, { x: below(10) })
    if (dice < 0.93) return this.add(at, 'm.room.aliases', serverNameOf(sender), sender, { aliases: [] })
    if (dice < 0.95) return this.add(at, 'x', chance(0.5) ? target : sender, sender, {})
    if (dice < 0.99) {
      const keys: JsonObject[] = [{ public_key: identityServers[0].publicKey }]
      return this.add(at, 'm.room.third_party_invite', 't', sender, chance(0.5) ? (keys[0] as JsonObject) : { public_keys: keys })
    }
    return this.add(at, 'm.room.message', undefined, sender, { body: 'é' })
  }

  #thirdPartyInvite(target: string): JsonObject {
    const signed = { mxid: chance(0.9) ? target : pick(USERS), token: chance(0.9) ? 't' : 'u' }
    return { display_name: 'x', signed: signJson(signed, identityServers[chance(0.8) ? 0 : 1]) }
  }

  #joinRule(): string {
    return pick(['public', 'invite', 'knock', 'restricted', 'knock_restricted'])
  }

  /** Synapse raises on such power levels wherever it meets them, so those never enter a state. */
  #isMalformed(content: JsonObject): boolean {
    const created = this.events.values().next().value
    const creators = [created?.sender, ...(ownArray(created?.content ?? {}, 'additional_creators') ?? [])]
    const users = Object.entries(ownObject(content, 'users') ?? {})
    if (this.version.privilegedCreators && users.some(([user]) => creators.includes(user))) return true
    return this.version.powerLevelForm === 'integer' && JSON.stringify(content).includes(':"')
  }

  #levels(current: JsonObject | undefined): JsonObject {
    const level = (): JsonValue => {
      const value = pick([0, 0, 10, 25, 50, 50, 51, 60, 100, 100])
      return chance(this.version.powerLevelForm === 'integer' ? 0.02 : 0.1) ? String(value) : value
    }
    const first: JsonObject = { users: this.version.privilegedCreators ? {} : { [this.creator]: 100 } }
    const content = structuredClone(current ?? first)
    const change = (map: JsonObject, key: string) => {
      if (chance(0.3)) delete map[key]
      else map[key] = level()
    }
    content.users ??= {}
    for (let i = below(3); i > 0; i--) change(content.users as JsonObject, pick(USERS))
    for (let i = below(3); i > 0; i--) {
      change(content, pick(['ban', 'kick', 'invite', 'invite', 'redact', 'state_default', 'events_default', 'users_default']))
    }
    for (const [property, keys] of [
      ['events', ['m.room.topic', 'm.room.name', 'x', 'm.room.power_levels']],
      ['notifications', ['room', 'x']],
    ] as const) {
      if (!chance(0.3)) continue
      content[property] ??= {}
      change(content[property] as JsonObject, pick(keys))
    }
    return content
  }
}

function randomRoom(index: number): JsonValue {
  const version = requireRoomVersion(only ?? String(1 + (index % 12)))
  const room = new RandomRoom(version, `r${index}`)
  const trunk = room.run(room.create(), 4 + below(12))
  const branches = Array.from({ length: 2 + below(3) }, () => room.run(trunk, 1 + below(10)))
  const resolved = room.resolve(branches)
  // From where they meet the room forks again, and one stale branch comes along.
  const merged = room.run({ state: resolved, heads: branches.flatMap(({ heads }) => heads) }, below(6))
  const again = [room.run(merged, 1 + below(8)), room.run(merged, 1 + below(8)), branches[0] as Place]
  const list = (state: StateIds): JsonValue => [...state.entries()]
  return {
    name: `r${index}`,
    version: version.id,
    roomId: room.roomId as string,
    events: [...room.events.values()].map(({ pdu, eventId, authEvents }) => ({
      id: eventId,
      pdu: pdu as JsonObject,
      auth: [...authEvents],
      redacted: redact(pdu, version) as JsonObject,
    })),
    checks: room.checks,
    resolutions: [
      { states: branches.map(({ state }) => list(state)), resolved: list(resolved) },
      { states: again.map(({ state }) => list(state)), resolved: list(room.resolve(again)) },
    ],
  }
}

process.stdout.write(JSON.stringify(Array.from({ length: rooms }, (_, index) => randomRoom(index))))
