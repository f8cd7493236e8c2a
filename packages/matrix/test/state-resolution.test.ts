import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import {
  AuthDifference,
  type AuthNode,
  authStateKeys,
  conflictedSubgraph,
  type JsonObject,
  type ResolutionEvent,
  type RoomVersion,
  roomVersions,
  StateMap,
  StateResolution,
  separateStates,
} from '../src/index.ts'
import { ALICE, BOB, CAROL, v } from './fixtures.ts'

type StateIds = StateMap<string>

/** A room whose events are named by hand: each event is given the state it is sent in, and takes its auth events from there. */
class Dag {
  readonly events = new Map<string, ResolutionEvent>()
  readonly version: RoomVersion
  readonly roomId: string
  #ts = 1000

  constructor(version: RoomVersion) {
    this.version = version
    this.roomId = version.roomIdIsCreateHash ? '!create' : '!room:domain'
  }

  /** Adds a state event on top of a state and gives the state after it. */
  add(name: string, before: StateIds, type: string, stateKey: string, sender: string, content: JsonObject, ts?: number): StateIds {
    const create = type === 'm.room.create'
    const selected = authStateKeys(this.version, { type, stateKey, sender, content })
    const authEvents = selected.flatMap(([wantedType, key]) => before.get(wantedType, key) ?? [])
    const depths = authEvents.map((id) => this.events.get(`${id}`)?.authDepth ?? 0)
    const eventId = `$${name}`
    this.events.set(eventId, {
      eventId,
      type,
      stateKey,
      sender,
      content,
      roomId: create && this.version.roomIdIsCreateHash ? undefined : this.roomId,
      authEvents,
      prevEvents: ['$prev'],
      originServerTs: ts ?? this.#ts++,
      depth: ts ?? this.#ts,
      authDepth: Math.max(-1, ...depths) + 1,
    })
    return before.clone().set(type, stateKey, eventId)
  }

  resolve(states: StateIds[], options: { authDepth?: boolean; batch?: boolean; rounds?: number[] } = {}): Record<string, string> {
    const resolution = new StateResolution(this.version, states)
    let rounds = 0
    for (;;) {
      const step = resolution.next()
      if (step.kind === 'resolved') {
        options.rounds?.push(rounds)
        return named(step.state)
      }
      if (step.kind === 'exceeded') throw new Error(step.reason)
      if (++rounds > 1000) throw new Error('no end')
      const strip = (event: ResolutionEvent): ResolutionEvent => (options.authDepth === false ? { ...event, authDepth: undefined } : event)
      const at = (id: string) => this.events.get(id) as ResolutionEvent
      if (options.batch === true) resolution.add({ events: [...this.events.values()].map(strip) })
      else {
        expect(step.nodes.length + step.events.length).toBeGreaterThan(0)
        resolution.add({
          nodes: step.nodes.map((id) => ({ eventId: id, authEvents: at(id).authEvents, authDepth: strip(at(id)).authDepth })),
          events: step.events.map((id) => strip(at(id))),
        })
      }
    }
  }
}

function named(state: StateIds): Record<string, string> {
  return Object.fromEntries([...state.entries()].map(([type, key, id]) => [`${type.replace('m.room.', '')}|${key}`, id.slice(1)]))
}

/** In room version 12 the creator stands in no power levels. */
const levelsOf = (version: RoomVersion, users: JsonObject): JsonObject => (version.privilegedCreators ? users : { [ALICE]: 100, ...users })
const EMPTY: StateIds = new StateMap()
const member = (membership: string): JsonObject => ({ membership })

/** Alice makes a room with levels, Bob (50) and Carol join. */
function base(version: RoomVersion): { dag: Dag; state: StateIds } {
  const dag = new Dag(version)
  const levels: JsonObject = { users: levelsOf(version, { [BOB]: 50 }) }
  let state = dag.add('create', EMPTY, 'm.room.create', '', ALICE, { creator: ALICE })
  // The first join is allowed by what comes before it alone.
  const ima = dag.add('alice', state, 'm.room.member', ALICE, ALICE, member('join'))
  dag.events.set('$alice', { ...(dag.events.get('$alice') as ResolutionEvent), prevEvents: ['$create'] })
  state = dag.add('levels', ima, 'm.room.power_levels', '', ALICE, levels)
  state = dag.add('rules', state, 'm.room.join_rules', '', ALICE, { join_rule: 'public' })
  state = dag.add('bob', state, 'm.room.member', BOB, BOB, member('join'))
  state = dag.add('carol', state, 'm.room.member', CAROL, CAROL, member('join'))
  return { dag, state }
}

const withV2 = [...roomVersions].filter(([, version]) => version.stateResolution !== 'v1')

test('states that agree need nothing', () => {
  const { state } = base(v('12'))
  expect(new StateResolution(v('12'), [state]).next().kind).toBe('resolved')
  expect(new StateResolution(v('12'), [state, state.clone()]).next().kind).toBe('resolved')
  expect(separateStates([state, state.clone().set('x', '', '$x')]).conflicted).toEqual(new Set(['$x']))
})

describe.each(withV2)('room version %s', (_id, version) => {
  test('a ban wins over a topic on the other branch', () => {
    const { dag, state } = base(version)
    const open = dag.add('low', state, 'm.room.power_levels', '', ALICE, {
      users: levelsOf(version, { [BOB]: 50 }),
      state_default: 0,
    })
    const banned = dag.add('ban', open, 'm.room.member', CAROL, BOB, member('ban'))
    const topic = dag.add('topic', open, 'm.room.topic', '', CAROL, { topic: 'evading' })
    for (const states of [
      [banned, topic],
      [topic, banned],
    ]) {
      expect(dag.resolve(states)).toEqual({ ...named(open), 'member|@carol:other': 'ban' })
    }
  })

  test('states given in two parts resolve alike', () => {
    const { dag, state } = base(version)
    const levels = dag.add('raised', state, 'm.room.power_levels', '', ALICE, { users: levelsOf(version, { [BOB]: 50 }), ban: 60 })
    const states = [
      dag.add('one', levels, 'm.room.topic', '', ALICE, {}),
      dag.add('ban', state, 'm.room.member', CAROL, BOB, member('ban')),
      dag.add('two', state, 'm.room.topic', '', CAROL, {}),
    ]
    const { unconflicted } = separateStates(states)
    const conflicted = states.map((whole) => {
      const part = whole.clone()
      for (const [type, key] of unconflicted.entries()) part.delete(type, key)
      return part
    })
    const resolution = new StateResolution(version, { unconflicted, conflicted })
    resolution.add({ events: dag.events.values() })
    const step = resolution.next()
    expect(step.kind === 'resolved' && named(step.state)).toEqual(dag.resolve(states))
  })

  test('without a conflict in power, the later of two topics wins', () => {
    const { dag, state } = base(version)
    const one = dag.add('one', state, 'm.room.topic', '', ALICE, { topic: '1' }, 5000)
    const two = dag.add('two', state, 'm.room.topic', '', BOB, { topic: '2' }, 4000)
    expect(dag.resolve([one, two])['topic|']).toBe('one')
  })

  test('with equal times the greater event id wins', () => {
    const { dag, state } = base(version)
    const one = dag.add('aa', state, 'm.room.topic', '', ALICE, {}, 5000)
    const two = dag.add('bb', state, 'm.room.topic', '', BOB, {}, 5000)
    expect(dag.resolve([one, two])['topic|']).toBe('bb')
  })

  test('a topic based on later levels wins over a later topic', () => {
    const { dag, state } = base(version)
    const users: JsonObject = levelsOf(version, { [BOB]: 50 })
    const raised = dag.add('raised', state, 'm.room.power_levels', '', ALICE, { users, ban: 60 })
    const one = dag.add('one', raised, 'm.room.topic', '', ALICE, {}, 4000)
    const two = dag.add('two', state, 'm.room.topic', '', ALICE, {}, 9000)
    expect(dag.resolve([one, two])).toMatchObject({ 'topic|': 'one', 'power_levels|': 'raised' })
  })

  test('an admin who demotes a moderator wins over what the moderator did', () => {
    const { dag, state } = base(version)
    const demoted = dag.add('demote', state, 'm.room.power_levels', '', ALICE, {
      users: levelsOf(version, {}),
    })
    const byBob = dag.add('bobs', state, 'm.room.power_levels', '', BOB, {
      users: levelsOf(version, { [BOB]: 50, [CAROL]: 50 }),
    })
    expect(dag.resolve([demoted, byBob])['power_levels|']).toBe('demote')
  })

  test('a ban wins over a topic however early the topic is', () => {
    const { dag, state } = base(version)
    const users: JsonObject = levelsOf(version, { [BOB]: 50, [CAROL]: 49 })
    const both = dag.add('both', state, 'm.room.power_levels', '', ALICE, { users, ban: 49 })
    const one = dag.add('one', both, 'm.room.member', CAROL, BOB, member('ban'), 9000)
    const other = dag.add('other', both, 'm.room.topic', '', CAROL, {}, 100)
    expect(dag.resolve([one, other])).not.toHaveProperty('topic|')
  })

  test('the order of states, auth depths and how events arrive change nothing', () => {
    fc.assert(
      fc.property(forkedRoom(version), ({ dag, states }) => {
        const rounds: number[] = []
        const result = dag.resolve(states, { rounds })
        expect(dag.resolve([...states].reverse())).toEqual(result)
        expect(dag.resolve([...states, states[0] as StateIds])).toEqual(result)
        expect(dag.resolve(states, { authDepth: false })).toEqual(result)
        expect(dag.resolve(states, { batch: true })).toEqual(result)
        for (const [type, key, id] of separateStates(states).unconflicted.entries()) {
          expect(result[`${type.replace('m.room.', '')}|${key}`]).toBe(id.slice(1))
        }
      }),
      { numRuns: 60 },
    )
  })
})

describe('H3 state resets (MSC4297)', () => {
  // Carol joins while everybody may, then the room closes. On one side Bob removes her, on the other he gives up his power, which
  // undoes the removal. Version 2 lets her join again, but into the closed room, and forgets her; 2.1 starts from nothing.
  test.each([
    ['11', undefined],
    ['12', 'carol'],
  ])('H8 room version %s: the membership of Carol is %s', (id, expected) => {
    const version = v(id)
    const { dag, state } = base(version)
    const closed = dag.add('closed', state, 'm.room.join_rules', '', ALICE, { join_rule: 'invite' })
    const removed = dag.add('removed', closed, 'm.room.member', CAROL, BOB, member('leave'), 9000)
    const demoted = dag.add('demoted', closed, 'm.room.power_levels', '', BOB, { users: levelsOf(version, { [BOB]: 0 }) }, 8000)
    const result = dag.resolve([removed, demoted])
    expect(result['member|@carol:other']).toBe(expected)
    expect(result).toMatchObject({ 'join_rules|': 'closed', 'power_levels|': 'demoted' })
  })

  // Alice leaves; Bob gives up his power on one side and closes the room on the other.
  test.each([
    ['11', undefined],
    ['12', 'rules'],
  ])('H8 room version %s: the join rules are %s', (id, expected) => {
    const version = v(id)
    const { dag, state } = base(version)
    const left = dag.add('left', state, 'm.room.member', ALICE, ALICE, member('leave'))
    const demoted = dag.add('demoted', left, 'm.room.power_levels', '', BOB, { users: levelsOf(version, { [BOB]: 0 }) }, 8000)
    const closed = dag.add('closed', left, 'm.room.join_rules', '', BOB, { join_rule: 'invite' }, 9000)
    expect(dag.resolve([demoted, closed])['join_rules|']).toBe(expected)
  })

  test('version 12 replays what the conflicted events rest upon', () => {
    const { dag, state } = base(v('12'))
    const p2 = dag.add('p2', state, 'm.room.power_levels', '', ALICE, { users: { [BOB]: 60 } })
    const p3 = dag.add('p3', p2, 'm.room.power_levels', '', ALICE, { users: { [BOB]: 70 } })
    const found = conflictedSubgraph(new Set(['$levels', '$p3']), new Map<string, AuthNode>(dag.events))
    expect(found).toEqual({ subgraph: new Set(['$levels', '$p2', '$p3']) })
    expect(dag.resolve([state, p3])['power_levels|']).toBe('p3')
  })
})

describe('room version 1', () => {
  const version = v('1')
  const ofDepth = (dag: Dag, name: string, depth: number) =>
    dag.events.set(`$${name}`, { ...(dag.events.get(`$${name}`) as ResolutionEvent), depth })

  test('the greater depth wins for what is no auth event', () => {
    const { dag, state } = base(version)
    const one = dag.add('one', state, 'm.room.topic', '', ALICE, {})
    const two = dag.add('two', state, 'm.room.topic', '', BOB, {})
    ofDepth(dag, 'one', 10)
    ofDepth(dag, 'two', 9)
    expect(dag.resolve([one, two])['topic|']).toBe('one')
  })

  test('what is not allowed loses, and power levels go by ascending depth', () => {
    const { dag, state } = base(version)
    const one = dag.add('one', state, 'm.room.topic', '', CAROL, {})
    const two = dag.add('two', state, 'm.room.topic', '', BOB, {})
    ofDepth(dag, 'one', 10)
    ofDepth(dag, 'two', 9)
    expect(dag.resolve([one, two])['topic|']).toBe('two')
    const up = dag.add('up', state, 'm.room.power_levels', '', ALICE, { users: { [ALICE]: 100, [BOB]: 60 } })
    const odd = dag.add('odd', state, 'm.room.power_levels', '', BOB, { users: { [ALICE]: 100, [BOB]: 100 } })
    ofDepth(dag, 'up', 20)
    ofDepth(dag, 'odd', 30)
    expect(dag.resolve([up, odd])['power_levels|']).toBe('up')
  })

  test('a key that one state lacks is no conflict', () => {
    const { dag, state } = base(version)
    const one = dag.add('one', state, 'm.room.topic', '', CAROL, {})
    expect(dag.resolve([one, state])['topic|']).toBe('one')
  })
})

describe('the auth graph', () => {
  /** A random graph whose nodes cite earlier ones, and some states over it. */
  const graph = fc
    .record({
      cites: fc.array(fc.array(fc.nat(), { maxLength: 4 }), { minLength: 1, maxLength: 40 }),
      states: fc.array(fc.array(fc.nat(), { minLength: 1, maxLength: 5 }), { minLength: 2, maxLength: 4 }),
    })
    .map(({ cites, states }) => {
      const nodes: AuthNode[] = []
      for (const [index, cited] of cites.entries()) {
        const authEvents = index === 0 ? [] : [...new Set(cited.map((at) => `$${at % index}`))]
        const authDepth = Math.max(-1, ...authEvents.map((id) => nodes[Number(id.slice(1))]?.authDepth ?? 0)) + 1
        nodes.push({ eventId: `$${index}`, authEvents, authDepth })
      }
      return { nodes, states: states.map((ids) => [...new Set(ids.map((at) => `$${at % nodes.length}`))]) }
    })

  const chain = (nodes: AuthNode[], start: Iterable<string>): Set<string> => {
    const reached = new Set(start)
    for (const id of reached) for (const authId of nodes[Number(id.slice(1))]?.authEvents ?? []) reached.add(authId)
    return reached
  }

  const walk = (states: string[][], nodes: AuthNode[], withDepth: boolean, loaded = new Map<string, AuthNode | null>()): Set<string> => {
    const difference = new AuthDifference(states)
    for (;;) {
      const step = difference.advance(loaded)
      if ('difference' in step) return new Set(step.difference)
      expect(step.missing.length).toBeGreaterThan(0)
      for (const id of step.missing) {
        expect(loaded.has(id)).toBe(false)
        const node = nodes[Number(id.slice(1))] as AuthNode
        loaded.set(id, withDepth ? node : { ...node, authDepth: undefined })
      }
    }
  }

  test('the difference is what the definition says', () => {
    fc.assert(
      fc.property(graph, ({ nodes, states }) => {
        const chains = states.map((state) => chain(nodes, state))
        const all = new Set(chains.flatMap((one) => [...one]))
        const expected = new Set([...all].filter((id) => !chains.every((one) => one.has(id))))
        expect(walk(states, nodes, true)).toEqual(expected)
        expect(walk(states, nodes, false)).toEqual(expected)
      }),
      { numRuns: 500 },
    )
  })

  test('the subgraph is what the definition says', () => {
    fc.assert(
      fc.property(graph, ({ nodes, states }) => {
        const conflicted = new Set(states.flat())
        const below = chain(nodes, conflicted)
        const expected = new Set([...below].filter((id) => [...chain(nodes, [id])].some((other) => conflicted.has(other))))
        for (const withDepth of [true, false]) {
          const known = new Map<string, AuthNode>(nodes.map((node) => [node.eventId, withDepth ? node : { ...node, authDepth: undefined }]))
          expect(conflictedSubgraph(conflicted, known)).toEqual({ subgraph: expected })
        }
      }),
      { numRuns: 500 },
    )
  })

  test('R14 a walk ends where the states have met, in a chain of 100,000', () => {
    const nodes: AuthNode[] = Array.from({ length: 100_000 }, (_, i) => ({
      eventId: `$${i}`,
      authEvents: i === 0 ? [] : [`$${i - 1}`],
      authDepth: i,
    }))
    const loaded = new Map<string, AuthNode | null>()
    nodes.push({ eventId: '$100000', authEvents: ['$99990'], authDepth: 99_991 })
    const difference = walk([['$99999'], ['$100000']], nodes, true, loaded)
    expect(difference.size).toBe(10)
    expect(loaded.size).toBeLessThan(20)
  })

  test('R14 100,000 events in a row need no stack', () => {
    const nodes: AuthNode[] = Array.from({ length: 100_000 }, (_, i) => ({ eventId: `$${i}`, authEvents: i === 0 ? [] : [`$${i - 1}`] }))
    const all = new Map(nodes.map((node) => [node.eventId, node]))
    expect(new AuthDifference([['$99999'], ['$0']]).advance(all)).toHaveProperty('difference.size', 99_999)
    expect(conflictedSubgraph(new Set(['$99999', '$0']), all)).toHaveProperty('subgraph.size', 100_000)
  })

  test('graphs with a circle, as ids given by servers allow, end', () => {
    const nodes = new Map<string, AuthNode>([
      ['$a', { eventId: '$a', authEvents: ['$b'] }],
      ['$b', { eventId: '$b', authEvents: ['$a'] }],
    ])
    expect(new AuthDifference([['$a'], ['$c']]).advance(new Map([...nodes, ['$c', null]]))).toHaveProperty('difference.size', 3)
    expect(conflictedSubgraph(new Set(['$a']), nodes)).toHaveProperty('subgraph.size', 2)
  })

  test('what cannot be had has no effect', () => {
    const { dag, state } = base(v('11'))
    const one = dag.add('one', state, 'm.room.topic', '', ALICE, {})
    const resolution = new StateResolution(v('11'), [one, state.clone().set('m.room.topic', '', '$gone')])
    for (let step = resolution.next(); ; step = resolution.next()) {
      if (step.kind === 'resolved') {
        expect(step.state.get('m.room.topic', '')).toBe('$one')
        break
      }
      expect(step.kind).toBe('missing')
      resolution.add({ events: dag.events.values(), absent: ['$gone'] })
    }
  })

  test('R14 limits', () => {
    const { dag, state } = base(v('11'))
    const one = dag.add('one', state, 'm.room.topic', '', ALICE, {})
    const resolution = new StateResolution(v('11'), [one, state], { maxNodes: 3, maxEvents: 3 })
    resolution.next()
    resolution.add({ events: dag.events.values() })
    expect(resolution.next().kind).toBe('exceeded')
  })
})

/** A room with a few branches of random state changes, some of them not allowed where the branches meet. */
function forkedRoom(version: RoomVersion): fc.Arbitrary<{ dag: Dag; states: StateIds[] }> {
  const users = [ALICE, BOB, CAROL]
  const change = fc.record({
    kind: fc.constantFrom('topic', 'name', 'levels', 'rules', 'ban', 'kick', 'join', 'leave'),
    sender: fc.constantFrom(...users),
    target: fc.constantFrom(...users),
    level: fc.constantFrom(0, 10, 50, 100),
    ts: fc.nat({ max: 20 }),
  })
  return fc
    .record({
      trunk: fc.array(change, { maxLength: 4 }),
      branches: fc.array(fc.array(change, { minLength: 1, maxLength: 6 }), { minLength: 2, maxLength: 4 }),
    })
    .map(({ trunk, branches }) => {
      const { dag, state } = base(version)
      let count = 0
      const apply = (before: StateIds, it: typeof change extends fc.Arbitrary<infer T> ? T : never): StateIds => {
        const name = `${it.kind}${count++}`
        const ts = 2000 + it.ts
        switch (it.kind) {
          case 'topic':
          case 'name':
            return dag.add(name, before, `m.room.${it.kind}`, '', it.sender, {}, ts)
          case 'levels':
            return dag.add(
              name,
              before,
              'm.room.power_levels',
              '',
              it.sender,
              { users: { [it.target]: it.level }, state_default: it.level },
              ts,
            )
          case 'rules':
            return dag.add(name, before, 'm.room.join_rules', '', it.sender, { join_rule: it.level > 10 ? 'public' : 'invite' }, ts)
          case 'ban':
            return dag.add(name, before, 'm.room.member', it.target, it.sender, member('ban'), ts)
          case 'kick':
            return dag.add(name, before, 'm.room.member', it.target, it.sender, member('leave'), ts)
          default:
            return dag.add(name, before, 'm.room.member', it.sender, it.sender, member(it.kind), ts)
        }
      }
      const root = trunk.reduce(apply, state)
      return { dag, states: branches.map((branch) => branch.reduce(apply, root)) }
    })
}
