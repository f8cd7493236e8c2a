import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { type JsonObject, MatrixError, parseJsonObject } from '@weft/matrix'
import type { RawBody } from './endpoint.ts'

/** Bytes of bodies that this process holds in memory at once, over all requests. */
export class BodyBudget {
  readonly #limit: number
  #held = 0

  constructor(limitBytes: number) {
    this.#limit = limitBytes
  }

  get heldBytes(): number {
    return this.#held
  }

  /** False when there is no room; nothing is taken then. */
  take(bytes: number): boolean {
    if (this.#held + bytes > this.#limit) return false
    this.#held += bytes
    return true
  }

  /** Gives back what {@link take} took. */
  give(bytes: number): void {
    this.#held -= bytes
  }
}

/** The client went away before its request was complete: nobody is left to answer. */
export class ClientGone extends Error {
  constructor() {
    super('the client went away')
    this.name = 'ClientGone'
  }
}

/** The bodies being read weigh more than this process may hold. */
export class BodyBudgetExceeded extends Error {
  constructor() {
    super('too many request bodies at once')
    this.name = 'BodyBudgetExceeded'
  }
}

/**
 * Reads a JSON body: once, bounded, parsed once. The content type is not required to be JSON (spec: "API Standards"), but a
 * multipart or compressed body is refused unread (R32).
 *
 * @returns undefined for an empty body
 * @throws MatrixError M_TOO_LARGE, M_NOT_JSON, M_BAD_JSON; ClientGone; BodyBudgetExceeded
 */
export async function readJsonBody(request: IncomingMessage, maxBytes: number, budget: BodyBudget): Promise<RawBody | undefined> {
  const { headers } = request
  const type = headers['content-type']
  if (type !== undefined && /^\s*multipart\//i.test(type)) {
    throw new MatrixError('M_NOT_JSON', 'Multipart bodies are not accepted', { status: 415 })
  }
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding !== '' && encoding.toLowerCase() !== 'identity') {
    throw new MatrixError('M_NOT_JSON', 'Compressed bodies are not accepted', { status: 415 })
  }
  const announced = headers['content-length']
  if (announced !== undefined && Number(announced) > maxBytes) throw tooLarge(maxBytes)
  if (announced === '0' || (announced === undefined && headers['transfer-encoding'] === undefined)) return undefined
  const bytes = await collect(request, maxBytes, budget)
  if (bytes.length === 0) return undefined
  if (!isUtf8(bytes)) throw new MatrixError('M_NOT_JSON', 'Content is not UTF-8')
  const text = bytes.toString()
  return { text, value: parseJsonObject(text) }
}

function collect(request: IncomingMessage, maxBytes: number, budget: BodyBudget): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>()
  const chunks: Buffer[] = []
  let size = 0
  let settled = false
  const settle = (error?: Error): void => {
    if (settled) return
    settled = true
    budget.give(size)
    if (error !== undefined) reject(error)
    else resolve(chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks, size))
    chunks.length = 0
  }
  request.on('data', (chunk: Buffer) => {
    if (settled) return
    if (size + chunk.length > maxBytes) settle(tooLarge(maxBytes))
    else if (!budget.take(chunk.length)) settle(new BodyBudgetExceeded())
    else {
      size += chunk.length
      chunks.push(chunk)
    }
  })
  request.on('end', () => settle())
  // Node tells a broken connection by 'close' alone to who does not listen for 'error'.
  // Every request closes, nearly all of them read by then: an error, whose stack costs 3 % of a send, is made for the others only.
  request.on('close', () => {
    if (!settled) settle(new ClientGone())
  })
  // A request that was closed before its listeners were there tells nobody.
  if (request.destroyed) settle(new ClientGone())
  return promise
}

function tooLarge(maxBytes: number): MatrixError {
  return new MatrixError('M_TOO_LARGE', `The body is larger than ${maxBytes} bytes`)
}

/** True when a string or a key anywhere inside contains NUL, which PostgreSQL's text refuses. Costs a scan of the text if not. */
export function containsNul(body: RawBody): boolean {
  return body.text.includes('\\u0000') && hasNul(body.value)
}

function hasNul(value: unknown): boolean {
  if (typeof value === 'string') return value.includes('\0')
  if (Array.isArray(value)) return value.some(hasNul)
  if (typeof value !== 'object' || value === null) return false
  const object = value as JsonObject
  return Object.keys(object).some((key) => key.includes('\0') || hasNul(object[key]))
}
