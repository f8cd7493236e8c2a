import { blocksInvites, MatrixError, parseUserId } from '@weft/matrix'
import { type AccountDataReader, GLOBAL_ACCOUNT_DATA, type MembershipsReader } from '@weft/storage'

/** How much of something one subject may do. */
export interface BucketLimit {
  readonly perSecond: number
  readonly burstCount: number
}

/** Token buckets shared by all processes. */
export interface Buckets {
  take(key: string, limit: BucketLimit, cost?: number): Promise<{ ok: true } | { ok: false; retryAfterMs: number }>
}

/** The limits `rc_invites`; an absent one is off. */
export interface InviteLimits {
  readonly perIssuer?: BucketLimit | undefined
  readonly perRoom?: BucketLimit | undefined
  readonly perUser?: BucketLimit | undefined
}

/** Invites and knocks that a user may have waiting: more than anybody answers. */
const MAX_PENDING_OF_USER = 1000
/** Knocks that may wait in a room. */
const MAX_KNOCKS_IN_ROOM = 1000

/** Who may be invited, and how many of it all there may be. What the room itself says of it is event auth's matter. */
export class InviteRules {
  readonly #memberships: MembershipsReader
  readonly #accountData: AccountDataReader
  readonly #buckets: Buckets
  readonly #limits: InviteLimits
  readonly #serverName: string

  constructor(options: {
    memberships: MembershipsReader
    accountData: AccountDataReader
    buckets: Buckets
    limits: InviteLimits
    serverName: string
  }) {
    this.#memberships = options.memberships
    this.#accountData = options.accountData
    this.#buckets = options.buckets
    this.#limits = options.limits
    this.#serverName = options.serverName
  }

  /**
   * Asks whether these users may be invited now.
   * @param how.roomId absent for a room that is being made
   * @param how.counted true where the endpoint has counted the invite for its issuer already
   * @throws MatrixError M_INVALID_PARAM, M_FORBIDDEN, M_INVITE_BLOCKED, M_LIMIT_EXCEEDED
   */
  async invite(
    issuer: string,
    userIds: readonly string[],
    how: { readonly roomId?: string | undefined; readonly counted: boolean },
  ): Promise<void> {
    if (userIds.length === 0) return
    for (const userId of userIds) this.#requireInvitable(userId)
    const { perIssuer, perRoom, perUser } = this.#limits
    // The endpoints' own limiter counts under the same key.
    if (!how.counted) await this.#take(`invites:${issuer}`, perIssuer, userIds.length)
    if (how.roomId !== undefined) await this.#take(`invites.room:${how.roomId}`, perRoom)
    for (const userId of userIds) await this.#take(`invites.user:${userId}`, perUser)
    await this.#requireWanted(userIds)
    const pending = await this.#memberships.pendingOf(userIds)
    for (const userId of userIds) {
      if ((pending.get(userId) ?? 0) >= MAX_PENDING_OF_USER) {
        throw new MatrixError('M_FORBIDDEN', `${userId} has too many invitations that wait for an answer`)
      }
    }
  }

  /** Asks whether a user may knock now. @throws MatrixError M_FORBIDDEN */
  async knock(userId: string, roomNid: number): Promise<void> {
    const [pending, knocks] = await Promise.all([
      this.#memberships.pendingOf([userId]),
      this.#memberships.countIn(roomNid, 'knock', MAX_KNOCKS_IN_ROOM),
    ])
    if ((pending.get(userId) ?? 0) >= MAX_PENDING_OF_USER) throw new MatrixError('M_FORBIDDEN', 'You have too many knocks and invitations')
    if (knocks >= MAX_KNOCKS_IN_ROOM) throw new MatrixError('M_FORBIDDEN', 'Too many people knock on this room')
  }

  #requireInvitable(userId: string): void {
    const id = parseUserId(userId)
    if (id === undefined) throw new MatrixError('M_INVALID_PARAM', `${JSON.stringify(userId)} is not a user id`)
    if (id.serverName !== this.#serverName) {
      throw new MatrixError('M_FORBIDDEN', `${userId} is of another server, and this server does not federate`)
    }
  }

  /** Spec: client-server API, "Invite permission", "Server behaviour". */
  async #requireWanted(userIds: readonly string[]): Promise<void> {
    const configs = await this.#accountData.ofUsers(userIds, GLOBAL_ACCOUNT_DATA, 'm.invite_permission_config')
    for (const [userId, config] of configs) {
      if (blocksInvites(config)) throw new MatrixError('M_INVITE_BLOCKED', `${userId} wants no invitations`)
    }
  }

  async #take(key: string, limit: BucketLimit | undefined, cost = 1): Promise<void> {
    if (limit === undefined) return
    const taken = await this.#buckets.take(key, limit, Math.min(cost, limit.burstCount))
    if (taken.ok) return
    throw new MatrixError('M_LIMIT_EXCEEDED', 'Too many invitations', {
      fields: { retry_after_ms: Math.max(1, Math.ceil(taken.retryAfterMs)) },
      headers: { 'Retry-After': String(Math.max(1, Math.ceil(taken.retryAfterMs / 1000))) },
    })
  }
}
