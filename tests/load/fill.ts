import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { Conversation } from './conversation.ts'

/** What the bar on disk space is measured on: a large room that people come to and leave, and small ones that talk. */
export const FILL = { largeRoom: 1500, changes: 500, smallRooms: 20, smallRoom: 50, messages: 10_000 } as const

interface Progress {
  readonly tokens: (string | undefined)[]
  readonly rooms: string[]
  readonly done: Record<string, number>
}

const AT_ONCE = 16
const CHUNK = 200

/**
 * Makes {@link FILL} through the client API of any server. May be cut short and called again: it goes on where the file says, and
 * each of its requests may be repeated.
 * @param file where it notes how far it came
 * @param accounts access tokens to use, rather than to register
 */
export async function fill(base: string, file: string, accounts?: readonly string[]): Promise<void> {
  const progress: Progress = existsSync(file)
    ? JSON.parse(readFileSync(file, 'utf8'))
    : { tokens: [...(accounts ?? [])], rooms: [], done: {} }
  const server = new Conversation(base)
  const { tokens, rooms } = progress
  const token = (user: number) => tokens[user] as string
  const room = (index: number) => encodeURIComponent(rooms[index] as string)
  const stage = async (name: string, count: number, step: (index: number) => Promise<unknown>) => {
    for (let first = progress.done[name] ?? 0; first < count; ) {
      const next = Math.min(count, first + CHUNK)
      await inParallel(first, next, step)
      first = next
      progress.done[name] = next
      writeFileSync(file, JSON.stringify(progress))
      process.stderr.write(`${name}: ${next} of ${count}\n`)
    }
  }
  await stage('users', FILL.largeRoom, async (user) => {
    tokens[user] ??= await registered(server, `disk${user}`)
  })
  await stage('rooms', 1 + FILL.smallRooms, async (index) => {
    const { room_id } = await server.request('POST', '/createRoom', token(index), { preset: 'public_chat', name: `room ${index}` })
    rooms[index] = room_id as string
  })
  await stage('large room', FILL.largeRoom, (user) => server.request('POST', `/join/${room(0)}`, token(user), {}))
  await stage('small rooms', FILL.smallRooms * FILL.smallRoom, (i) => {
    const [index, member] = [1 + Math.floor(i / FILL.smallRoom), i % FILL.smallRoom]
    return server.request('POST', `/join/${room(index)}`, token(memberOf(index, member)), {})
  })
  // Half leave, and the same come back.
  for (const action of ['leave', 'join']) {
    await stage(action, FILL.changes / 2, (i) => server.request('POST', `/rooms/${room(0)}/${action}`, token(1 + i * 5), {}))
  }
  await stage('messages', FILL.messages, (i) => {
    const index = i % rooms.length
    const turn = Math.floor(i / rooms.length)
    const sender = index === 0 ? turn % FILL.largeRoom : memberOf(index, turn % FILL.smallRoom)
    const content = { msgtype: 'm.text', body: `message ${i} `.padEnd(100, 'lorem ipsum ') }
    return server.request('PUT', `/rooms/${room(index)}/send/m.room.message/fill${i}`, token(sender), content)
  })
}

/** Member 0 of a room is who created it. */
function memberOf(room: number, member: number): number {
  return (room + member * 23) % FILL.largeRoom
}

async function registered(server: Conversation, name: string): Promise<string> {
  try {
    return await server.register(name)
  } catch (error) {
    if (!String(error).includes('M_USER_IN_USE')) throw error
    const login = { type: 'm.login.password', identifier: { type: 'm.id.user', user: name }, password: 'a long password' }
    return (await server.request('POST', '/login', undefined, login)).access_token as string
  }
}

/** Runs `step` for each index in [first, next), a few at once. */
export async function inParallel(first: number, next: number, step: (index: number) => Promise<unknown>): Promise<void> {
  let index = first
  const lane = async () => {
    while (index < next) await step(index++)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, lane))
}
