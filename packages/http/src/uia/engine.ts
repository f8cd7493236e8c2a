import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { canonicalJson, type Errcode, isJsonObject, type JsonObject, type JsonValue, MatrixError, own } from '@weft/matrix'
import { ReplyError } from '../errors.ts'
import type { UiaSession, UiaStore } from './session.ts'
import type { StageContext, StageVerifier } from './stages.ts'

/** Stage types in the order in which they must be completed. */
export type UiaFlow = readonly string[]

/** What is to be authenticated. */
export interface UiaRequest {
  /** The endpoint's id: a session is good for this operation only. */
  readonly operation: string
  readonly requester?: { readonly userId: string }
  /** The `auth` of the request's body as it came; undefined where it has none. */
  readonly auth: JsonValue | undefined
  /** What else the session is bound to: the body without `auth`, or the part of it that decides what will be done. */
  readonly boundTo: JsonObject
  /** The client chooses one. */
  readonly flows: readonly UiaFlow[]
}

interface Failure {
  readonly errcode: Errcode
  readonly error: string
}

const SESSION_ID = /^[A-Za-z0-9_-]{1,64}$/

/**
 * User-interactive authentication: an operation goes on once the stages of one of its flows are completed, in order, in a session
 * that is bound to this operation, this user and what was asked for, and that is used up by it (R24).
 * Spec: client-server API, "User-Interactive Authentication API".
 */
export class UserInteractiveAuth {
  readonly #store: UiaStore
  readonly #verifiers: ReadonlyMap<string, StageVerifier>
  readonly #secret: string

  /** @param secret keys the hash of what was asked for, which may contain a new password */
  constructor(store: UiaStore, verifiers: readonly StageVerifier[], secret: string) {
    if (secret === '') throw new Error('user-interactive auth needs a secret')
    this.#store = store
    this.#verifiers = new Map(verifiers.map((verifier) => [verifier.type, verifier]))
    this.#secret = secret
  }

  /**
   * Returns when the client has completed a flow; the session is used up then. A request that brings all that its flow needs passes at
   * once, without a session.
   *
   * @returns stage type -> what its verifier found
   * @throws ReplyError 401 with the challenge; MatrixError M_FORBIDDEN for a session of another operation, M_BAD_JSON, and what the
   *   verifiers throw
   */
  async run(request: UiaRequest): Promise<JsonObject> {
    const auth = readAuth(request.auth)
    const session = await this.#sessionOf(request, auth.session)
    if (auth.type === undefined) {
      if (session !== undefined && isComplete(request.flows, stagesOf(session))) return this.#use(request, session)
      return this.#challenge(request, session)
    }
    const completed = session?.completed ?? {}
    const stages = Object.keys(completed)
    // "Completed stages cannot be retried": the answer is what is still to do.
    if (stages.includes(auth.type)) {
      if (session !== undefined && isComplete(request.flows, stages)) return this.#use(request, session)
      return this.#challenge(request, session)
    }
    const refusal = refusalOf(request.flows, stages, auth.type)
    if (refusal !== undefined) return this.#challenge(request, session, refusal)
    const outcome = await this.#verifierOf(auth.type).verify(auth.dict, contextOf(request))
    if (!outcome.ok) return this.#challenge(request, session, outcome)
    if (session === undefined) {
      const first = { [auth.type]: outcome.result }
      if (isComplete(request.flows, [auth.type])) return first
      return this.#challenge(request, await this.#create(request, first))
    }
    const updated = await this.#store.complete(session.id, auth.type, outcome.result)
    if (updated === undefined) return this.#challenge(request, undefined)
    return isComplete(request.flows, stagesOf(updated)) ? this.#use(request, updated) : this.#challenge(request, updated)
  }

  /** A session that is gone, or was begun under other flows, is as none: the client starts again with a new one. */
  async #sessionOf(request: UiaRequest, id: string | undefined): Promise<UiaSession | undefined> {
    if (id === undefined || !SESSION_ID.test(id)) return undefined
    const session = await this.#store.get(id)
    if (session === undefined) return undefined
    const bound =
      session.operation === request.operation &&
      session.userId === request.requester?.userId &&
      sameBytes(session.requestHash, this.#hash(session.id, request.boundTo))
    if (!bound) throw new MatrixError('M_FORBIDDEN', 'This session was begun for another request')
    return candidates(request.flows, stagesOf(session)).length === 0 ? undefined : session
  }

  async #use(request: UiaRequest, session: UiaSession): Promise<JsonObject> {
    if (await this.#store.delete(session.id)) return session.completed
    return this.#challenge(request, undefined)
  }

  async #create(request: UiaRequest, completed: JsonObject): Promise<UiaSession> {
    const id = randomBytes(24).toString('base64url')
    const { operation, requester, boundTo } = request
    const session: UiaSession = { id, operation, userId: requester?.userId, requestHash: this.#hash(id, boundTo), completed }
    await this.#store.create(session)
    return session
  }

  async #challenge(request: UiaRequest, known: UiaSession | undefined, failure?: Failure): Promise<never> {
    const session = known ?? (await this.#create(request, {}))
    const params: JsonObject = {}
    for (const type of new Set(request.flows.flat())) {
      const needed = this.#verifierOf(type).params
      if (needed !== undefined) params[type] = needed
    }
    const body: JsonObject = {
      session: session.id,
      flows: request.flows.map((stages) => ({ stages: [...stages] })),
      params,
      completed: stagesOf(session),
    }
    if (failure !== undefined) Object.assign(body, { errcode: failure.errcode, error: failure.error })
    throw new ReplyError('user-interactive auth required', { status: 401, headers: {}, body })
  }

  #verifierOf(type: string): StageVerifier {
    const verifier = this.#verifiers.get(type)
    if (verifier === undefined) throw new Error(`a flow has the stage ${type}, which nothing verifies`)
    return verifier
  }

  #hash(sessionId: string, boundTo: JsonObject): Uint8Array {
    return createHmac('sha256', this.#secret).update(`${sessionId}\n`).update(canonicalJson(boundTo)).digest()
  }
}

/** The body without `auth`: what a session is bound to unless the operation says otherwise. */
export function withoutAuth(body: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(body).filter(([key]) => key !== 'auth'))
}

function readAuth(auth: JsonValue | undefined): { dict: JsonObject; type: string | undefined; session: string | undefined } {
  if (auth === undefined || auth === null) return { dict: {}, type: undefined, session: undefined }
  if (!isJsonObject(auth)) throw new MatrixError('M_BAD_JSON', 'auth must be an object')
  const type = own(auth, 'type')
  const session = own(auth, 'session')
  if (type !== undefined && typeof type !== 'string') throw new MatrixError('M_BAD_JSON', 'auth.type must be a string')
  // Clients that were given no session send null.
  if (session !== undefined && session !== null && typeof session !== 'string') {
    throw new MatrixError('M_BAD_JSON', 'auth.session must be a string')
  }
  return { dict: auth, type, session: session ?? undefined }
}

function contextOf(request: UiaRequest): StageContext {
  return { operation: request.operation, userId: request.requester?.userId }
}

function stagesOf(session: UiaSession): string[] {
  return Object.keys(session.completed)
}

/** The flows that begin with these stages, in this order. */
function candidates(flows: readonly UiaFlow[], stages: readonly string[]): UiaFlow[] {
  return flows.filter((flow) => stages.every((stage, i) => flow[i] === stage))
}

function isComplete(flows: readonly UiaFlow[], stages: readonly string[]): boolean {
  return stages.length > 0 && candidates(flows, stages).some((flow) => flow.length === stages.length)
}

function refusalOf(flows: readonly UiaFlow[], stages: readonly string[], type: string): Failure | undefined {
  if (!flows.some((flow) => flow.includes(type))) return { errcode: 'M_UNRECOGNIZED', error: 'This stage is not part of any flow' }
  const isNext = candidates(flows, stages).some((flow) => flow[stages.length] === type)
  return isNext ? undefined : { errcode: 'M_FORBIDDEN', error: 'This stage is not the next one of any flow' }
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}
