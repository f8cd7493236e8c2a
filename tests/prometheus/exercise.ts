/** How many messages the conversation has: what Prometheus is to count. */
export const MESSAGES = 5

/** A short conversation that touches what is counted: requests of all kinds, refusals, passwords, a long poll, typing and receipts. */
export async function converse(baseUrl: string): Promise<void> {
  const call = async (method: string, path: string, token?: string, body?: object): Promise<Record<string, string>> => {
    const response = await fetch(`${baseUrl}/_matrix/client/v3${path}`, {
      method,
      headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
      body: body === undefined ? undefined : JSON.stringify(body),
    })
    return (await response.json()) as Record<string, string>
  }
  const password = 'correct horse battery staple'
  const register = async (username: string) => {
    const answer = await call('POST', '/register', undefined, { username, password, auth: { type: 'm.login.dummy' } })
    return answer.access_token as string
  }
  const [alice, bob] = [await register('alice'), await register('bob')]
  const identifier = { type: 'm.id.user', user: 'bob' }
  await call('POST', '/login', undefined, { type: 'm.login.password', identifier, password: 'wrong' })
  await call('GET', '/account/whoami', 'wft_bm9ib2R5_unknown')
  await call('GET', '/no/such/endpoint', alice)
  const { room_id } = await call('POST', '/createRoom', alice, { invite: ['@bob:localhost'] })
  const room = `/rooms/${encodeURIComponent(room_id as string)}`
  await call('POST', `${room}/join`, bob, {})
  const { next_batch } = await call('GET', '/sync', bob)
  const woken = call('GET', `/sync?timeout=20000&since=${next_batch}`, bob)
  let last = ''
  for (let n = 1; n <= MESSAGES; n++) {
    last = (await call('PUT', `${room}/send/m.room.message/${n}`, alice, { msgtype: 'm.text', body: `${n}` })).event_id as string
  }
  await woken
  await call('PUT', `${room}/typing/@bob:localhost`, bob, { typing: true, timeout: 1000 })
  await call('POST', `${room}/receipt/m.read/${encodeURIComponent(last)}`, bob, {})
  await call('GET', `${room}/messages?dir=b`, bob)
  await call('PUT', '/profile/@alice:localhost/displayname', alice, { displayname: 'Alice' })
  await call('POST', '/logout', bob, {})
}
