import { expect, test } from '@jest/globals'
import { ENGINE_LIMITS, SyncEngine } from '../src/engine.ts'
import { EventStore } from '../src/event-store.ts'
import { BEGINNING } from '../src/positions.ts'

test('whom a user ignores counts in the budget of views, which those idle longest leave', () => {
  const store = new EventStore({ eventsByNids: async () => [] }, 1000)
  const engine = new SyncEngine({ store, limits: { ...ENGINE_LIMITS, viewBytes: 1_000_000 } })
  const users = Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`@ignored${i}:test`, {}]))
  const settings = new Map([['m.ignored_user_list', JSON.stringify({ ignored_users: users })]])
  for (const [at, userId] of ['@a:test', '@b:test', '@c:test'].entries()) {
    const view = engine.addView(userId, [], settings, engine.expectView(userId), BEGINNING)
    expect(view.ignored.size).toBe(5000)
    view.lastUsed = at
  }
  engine.sweep(10)
  expect([...engine.views.keys()]).toEqual(['@c:test'])
})
