import { randomBytes } from 'node:crypto'
import { Agent, request } from 'undici'

/** A JSON object of a test. */
export type Json = Record<string, unknown>

/** An event as clients see it. */
export interface ClientEvent {
  readonly event_id: string
  readonly type: string
  readonly sender: string
  readonly content: Json
  readonly state_key?: string
  readonly origin_server_ts: number
  readonly unsigned?: Json
}

/** An answer of /sync, as far as tests look at it. */
export interface SyncAnswer {
  readonly next_batch: string
  readonly rooms?: {
    readonly join?: Record<string, JoinedRoom>
    readonly invite?: Record<string, { readonly invite_state: { readonly events: readonly ClientEvent[] } }>
    readonly leave?: Record<string, JoinedRoom>
  }
  readonly account_data?: { readonly events: readonly { readonly type: string; readonly content: Json }[] }
  readonly to_device?: { readonly events: readonly { readonly type: string; readonly sender: string; readonly content: Json }[] }
}

/** A room in an answer of /sync. */
export interface JoinedRoom {
  readonly timeline?: { readonly events: readonly ClientEvent[]; readonly limited?: boolean; readonly prev_batch?: string }
  readonly state?: { readonly events: readonly ClientEvent[] }
  readonly ephemeral?: { readonly events: readonly { readonly type: string; readonly content: Json }[] }
  readonly account_data?: { readonly events: readonly { readonly type: string; readonly content: Json }[] }
}

/** An answer of /messages. */
export interface MessagesPage {
  readonly chunk: readonly ClientEvent[]
  readonly start: string
  readonly end?: string
}

/** What a server answered, whatever it is. */
export interface Answer {
  readonly status: number
  readonly body: Json
  readonly retryAfterMs: number | undefined
}

/** The server answered with an error. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  readonly errcode: string | undefined
  readonly body: Json

  constructor(what: string, { status, body }: Answer) {
    super(`${what}: ${status} ${JSON.stringify(body).slice(0, 500)}`)
    this.status = status
    this.errcode = typeof body.errcode === 'string' ? body.errcode : undefined
    this.body = body
  }
}

/** Sends one request and takes its answer. @throws Error when there is no answer */
export type Sender = (method: string, path: string, body: unknown, options: SendOptions) => Promise<Answer>

/** What a request carries besides method, path and body. */
export interface SendOptions {
  readonly token?: string | undefined
  readonly signal?: AbortSignal | undefined
  readonly headers?: Readonly<Record<string, string>>
}

/** Sends to one base URL, each request once, over connections of its own. */
export function directSender(baseUrl: string, agent = new Agent({ connections: 64, pipelining: 1 })): Sender {
  return async (method, path, body, { token, signal, headers }) => {
    const response = await request(`${baseUrl}${path}`, {
      method: method as 'GET',
      dispatcher: agent,
      headers: {
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
      ...(signal === undefined ? {} : { signal }),
      headersTimeout: 60_000,
    })
    const text = await response.body.text()
    return { status: response.statusCode, body: objectOf(text), retryAfterMs: retryAfter(response.headers['retry-after'], text) }
  }
}

function objectOf(text: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch {
    return { text }
  }
}

function retryAfter(header: string | string[] | undefined, text: string): number | undefined {
  const inBody = objectOf(text).retry_after_ms
  if (typeof inBody === 'number') return inBody
  return typeof header === 'string' && /^\d+$/.test(header) ? Number(header) * 1000 : undefined
}

/** A device that is logged in. */
export interface Session {
  readonly userId: string
  readonly deviceId: string
  readonly accessToken: string
}

const v3 = '/_matrix/client/v3'
const enc = encodeURIComponent
/** What every account of a test logs in with. */
export const PASSWORD = 'a password of tests'

/** A user's client: the calls that tests make most, by name, and every other by its path. */
export class TestClient {
  readonly userId: string
  readonly deviceId: string
  readonly accessToken: string
  readonly send: Sender
  #txn = 0
  readonly #run = randomBytes(3).toString('hex')

  constructor(send: Sender, session: Session) {
    this.send = send
    this.userId = session.userId
    this.deviceId = session.deviceId
    this.accessToken = session.accessToken
  }

  /** Creates an account by the dummy stage and logs it in. */
  static async register(send: Sender, localpart: string): Promise<TestClient> {
    const body = { username: localpart, password: PASSWORD, auth: { type: 'm.login.dummy' } }
    return new TestClient(send, sessionOf(await ask(send, 'POST', `${v3}/register`, body)))
  }

  static async login(
    send: Sender,
    user: string,
    options: { readonly deviceId?: string; readonly password?: string } = {},
  ): Promise<TestClient> {
    const body = {
      type: 'm.login.password',
      identifier: { type: 'm.id.user', user },
      password: options.password ?? PASSWORD,
      ...(options.deviceId === undefined ? {} : { device_id: options.deviceId }),
    }
    return new TestClient(send, sessionOf(await ask(send, 'POST', `${v3}/login`, body)))
  }

  /** The same session through another door. */
  through(send: Sender): TestClient {
    return new TestClient(send, this)
  }

  /** Any request with this session's token. @throws ApiError unless the answer is a success */
  async call<T = Json>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
    return (await ask(this.send, method, path, body, { token: this.accessToken, signal })) as T
  }

  /** The same, for answers that are looked at whatever they are. */
  attempt(method: string, path: string, body?: unknown): Promise<Answer> {
    return this.send(method, path, body, { token: this.accessToken })
  }

  get<T = Json>(path: string): Promise<T> {
    return this.call<T>('GET', `${v3}${path}`)
  }

  put<T = Json>(path: string, body: unknown = {}): Promise<T> {
    return this.call<T>('PUT', `${v3}${path}`, body)
  }

  post<T = Json>(path: string, body: unknown = {}): Promise<T> {
    return this.call<T>('POST', `${v3}${path}`, body)
  }

  delete<T = Json>(path: string, body?: unknown): Promise<T> {
    return this.call<T>('DELETE', `${v3}${path}`, body)
  }

  async createRoom(options: Json = {}): Promise<string> {
    return String((await this.post('/createRoom', options)).room_id)
  }

  async join(room: string): Promise<string> {
    return String((await this.post(`/join/${enc(room)}`)).room_id)
  }

  async invite(roomId: string, userId: string): Promise<void> {
    await this.post(`/rooms/${enc(roomId)}/invite`, { user_id: userId })
  }

  async leave(roomId: string): Promise<void> {
    await this.post(`/rooms/${enc(roomId)}/leave`)
  }

  /** A txnId that this client has not used. */
  newTxnId(): string {
    return `${this.#run}.${this.#txn++}`
  }

  /** Sends an event; a string is a text message. @returns its id */
  async message(
    roomId: string,
    content: string | Json,
    options: { readonly type?: string; readonly txnId?: string } = {},
  ): Promise<string> {
    const { type = 'm.room.message', txnId = this.newTxnId() } = options
    const body = typeof content === 'string' ? { msgtype: 'm.text', body: content } : content
    return String((await this.put(`/rooms/${enc(roomId)}/send/${enc(type)}/${enc(txnId)}`, body)).event_id)
  }

  async redact(roomId: string, eventId: string, reason?: string): Promise<string> {
    const answer = await this.put(
      `/rooms/${enc(roomId)}/redact/${enc(eventId)}/${enc(this.newTxnId())}`,
      reason === undefined ? {} : { reason },
    )
    return String(answer.event_id)
  }

  async setState(roomId: string, type: string, stateKey: string, content: Json): Promise<string> {
    return String((await this.put(`/rooms/${enc(roomId)}/state/${enc(type)}/${enc(stateKey)}`, content)).event_id)
  }

  state(roomId: string, type: string, stateKey = ''): Promise<Json> {
    return this.get(`/rooms/${enc(roomId)}/state/${enc(type)}/${enc(stateKey)}`)
  }

  event(roomId: string, eventId: string): Promise<ClientEvent> {
    return this.get<ClientEvent>(`/rooms/${enc(roomId)}/event/${enc(eventId)}`)
  }

  messages(roomId: string, query: Readonly<Record<string, string>>): Promise<MessagesPage> {
    return this.get<MessagesPage>(`/rooms/${enc(roomId)}/messages?${new URLSearchParams(query)}`)
  }

  /** All events of a room that this user may see, the oldest first, by paging back from the present. */
  async history(roomId: string): Promise<ClientEvent[]> {
    const events: ClientEvent[] = []
    let from: string | undefined
    for (;;) {
      const page = await this.messages(roomId, { dir: 'b', limit: '500', ...(from === undefined ? {} : { from }) })
      events.push(...page.chunk)
      if (page.end === undefined) return events.reverse()
      from = page.end
    }
  }

  /** One /sync. @param timeoutMs how long it may wait for news */
  sync(
    options: {
      readonly since?: string | undefined
      readonly timeoutMs?: number
      readonly filter?: object
      readonly signal?: AbortSignal
    } = {},
  ) {
    const query = new URLSearchParams({ timeout: String(options.timeoutMs ?? 0) })
    if (options.since !== undefined) query.set('since', options.since)
    if (options.filter !== undefined) query.set('filter', JSON.stringify(options.filter))
    return this.call<SyncAnswer>('GET', `${v3}/sync?${query}`, undefined, options.signal)
  }
}

async function ask(send: Sender, method: string, path: string, body?: unknown, options: SendOptions = {}): Promise<Json> {
  const answer = await send(method, path, body, options)
  if (answer.status < 200 || answer.status > 299) throw new ApiError(`${method} ${path.split('?', 1)[0]}`, answer)
  return answer.body
}

function sessionOf(body: Json): Session {
  return { userId: String(body.user_id), deviceId: String(body.device_id), accessToken: String(body.access_token) }
}
