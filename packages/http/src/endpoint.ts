import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import type { JsonObject } from '@weft/matrix'
import type { z } from 'zod'
import type { Requester } from './auth.ts'
import type { RateLimitClass } from './rate-limit.ts'

/** What a body may weigh unless its endpoint says otherwise: an event may have 64 KiB, and escapes can blow its content up. */
export const DEFAULT_MAX_BODY_BYTES = 256 * 1024

/** Classes that answer HTTP requests behind the router. */
export type ServingClass = 'writer' | 'sync' | 'media'
/** The methods of endpoints; HEAD is answered where GET is, and OPTIONS everywhere. */
export type Method = 'GET' | 'PUT' | 'POST' | 'DELETE'

/** The names between braces in a path template. An optional one (`{stateKey?}`) is the empty string when its segment is absent. */
export type PathParams<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? { readonly [K in Name extends `${infer Bare}?` ? Bare : Name]: string } & PathParams<Rest>
  : unknown

/** A body that is any JSON object, handed over as text and parsed losslessly: event content never passes through zod (R45). */
export const rawJsonObject = { kind: 'rawJsonObject' } as const
/** A body as it came, and what it says. */
export interface RawBody {
  readonly value: JsonObject
  readonly text: string
}
/** How a body is read: checked by zod, or any JSON object. */
export type BodySpec = z.ZodType | typeof rawJsonObject
/** What a handler gets for a body. */
export type BodyOf<B> = B extends typeof rawJsonObject ? RawBody : B extends z.ZodType ? z.output<B> : undefined

/** What a handler answers: a plain object, JSON text that was spliced together already, or a stream of such text. */
export type Reply<Shape = unknown> =
  | { readonly status?: number; readonly headers?: Readonly<Record<string, string>>; readonly json: Shape }
  | { readonly status?: number; readonly headers?: Readonly<Record<string, string>>; readonly jsonText: string }
  | {
      readonly status?: number
      readonly headers?: Readonly<Record<string, string>>
      readonly stream: Readable
      readonly contentType: string
    }

/** Whether an endpoint wants an access token. */
export type AuthKind = 'none' | 'accessToken' | 'optionalAccessToken'
/** What a handler gets as its requester. */
export type RequesterOf<A extends AuthKind> = A extends 'accessToken'
  ? Requester
  : A extends 'optionalAccessToken'
    ? Requester | undefined
    : undefined

/** How the router picks among the instances of a class: requests with the same key go to the same instance. */
export type Affinity = 'roomId' | 'user' | 'none'

/** What a handler may know of its request besides parameters, query and body. */
export interface RequestInfo {
  readonly requestId: string
  /** The client's address, through trusted proxies. */
  readonly ip: string
  readonly userAgent: string
  /** The request's path as matched, without query, still percent-encoded. */
  readonly path: string
  readonly method: Method
  /** Aborted when the client goes away or the process drains: long polls answer early then. */
  readonly signal: AbortSignal
  /** Whether the client has gone away. */
  readonly gone: boolean
  /** Aborted when this process starts to drain. */
  readonly draining: AbortSignal
  readonly raw: IncomingMessage
}

/** What a handler gets: its class's services, and the request, checked. */
export interface HandlerArgs<Ctx, Path extends string, A extends AuthKind, B, Q> {
  readonly ctx: Ctx
  readonly params: PathParams<Path>
  readonly query: Q extends z.ZodType ? z.output<Q> : Record<string, never>
  readonly requester: RequesterOf<A>
  readonly body: BodyOf<B>
  readonly request: RequestInfo
}

/** All facts of an endpoint. What is derived from them: see {@link Registry}. */
export interface EndpointDefinition<
  Services extends Partial<Record<ServingClass, unknown>> = Partial<Record<ServingClass, unknown>>,
  Path extends string = string,
  Served extends readonly ServingClass[] = readonly ServingClass[],
  A extends AuthKind = AuthKind,
  B extends BodySpec | undefined = BodySpec | undefined,
  Q extends z.ZodType | undefined = z.ZodType | undefined,
> {
  /** `client.sendMessage`: API, then the spec's operation id. Metric label, log field, rate-limit key. */
  readonly id: string
  readonly method: Method
  /** The path as the spec writes it today, parameters in braces. A trailing `{param?}` matches with and without its segment. */
  readonly path: Path
  /** Other version segments that mean the same (`r0`), or whole other paths with the same parameters. */
  readonly aliases?: readonly string[]
  readonly auth: A
  readonly servedBy: Served
  readonly affinity: Affinity
  readonly rateLimit?: RateLimitClass
  readonly query?: Q
  readonly body?: B
  /** True where an empty body means `{}`. */
  readonly bodyOptional?: boolean
  /** Bytes; {@link DEFAULT_MAX_BODY_BYTES} unless told. */
  readonly maxBodyBytes?: number
  /** True where a locked account may come too: logout only. Spec: "Account locking". */
  readonly lockedAllowed?: boolean
  /** GET and PUT are; a POST only where repeating it does no harm. The router retries only these once a request was sent. */
  readonly idempotent?: boolean
  /**
   * True where a request may wait for news. One that is repeated with {@link internalHeaders.noWait} answers at once with what there
   * is: so a draining router ends those that wait there.
   */
  readonly longPoll?: boolean
  /** Documents the answer and types the test client; never run on the request path. */
  readonly response: z.ZodType
  /** Names in `unstable_features` of /versions. */
  readonly unstableFeatures?: readonly string[]
  handler(args: HandlerArgs<Services[Served[number]], Path, A, B, Q>): Promise<Reply>
}

/** An endpoint of any shape, as the registry, the matcher and the documents see it. */
// biome-ignore lint/suspicious/noExplicitAny: handlers differ in every type parameter; only the mount calls them.
export type AnyEndpoint = EndpointDefinition<any, any, any, any, any, any>

/**
 * Makes `defineEndpoint` for a map of serving class -> services. `ctx` is the union over `servedBy`, so an endpoint
 * that sync serves too can reach only what both classes have: the room writer does not compile there.
 */
export function endpointFactory<Services extends Partial<Record<ServingClass, unknown>>>() {
  return <
    const Path extends string,
    const Served extends readonly ServingClass[],
    A extends AuthKind,
    B extends BodySpec | undefined = undefined,
    Q extends z.ZodType | undefined = undefined,
  >(
    definition: EndpointDefinition<Services, Path, Served, A, B, Q>,
  ): EndpointDefinition<Services, Path, Served, A, B, Q> => definition
}
