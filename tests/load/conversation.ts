/** Two people meet in a room and talk: what a server has done before it counts as used. */
export class Conversation {
  readonly #base: string
  #txn = 0

  constructor(base: string) {
    this.#base = `${base}/_matrix/client/v3`
  }

  async request(method: string, path: string, token?: string, body?: object): Promise<Record<string, string>> {
    const response = await fetch(this.#base + path, {
      method,
      headers: { 'content-type': 'application/json', ...(token === undefined ? {} : { authorization: `Bearer ${token}` }) },
      body: body === undefined ? null : JSON.stringify(body),
    })
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`)
    return (await response.json()) as Record<string, string>
  }

  async register(name: string): Promise<string> {
    const auth = { type: 'm.login.dummy' }
    const { access_token } = await this.request('POST', '/register', undefined, { username: name, password: 'a long password', auth })
    return access_token as string
  }

  async send(token: string, roomId: string, body: string): Promise<void> {
    const path = `/rooms/${encodeURIComponent(roomId)}/send/m.room.message/${this.#txn++}`
    await this.request('PUT', path, token, { msgtype: 'm.text', body })
  }

  /** The conversation; returns what is needed to go on with it. */
  async hold(): Promise<{ alice: string; bob: string; roomId: string }> {
    const suffix = Date.now().toString(36)
    const alice = await this.register(`alice${suffix}`)
    const bob = await this.register(`bob${suffix}`)
    const { room_id } = await this.request('POST', '/createRoom', alice, { preset: 'public_chat', name: 'bench' })
    const roomId = room_id as string
    await this.request('POST', `/join/${encodeURIComponent(roomId)}`, bob, {})
    for (let i = 0; i < 10; i++) await this.send(i % 2 === 0 ? alice : bob, roomId, `message ${i}`)
    for (const token of [alice, bob]) await this.request('GET', '/sync?timeout=0', token)
    return { alice, bob, roomId }
  }
}
