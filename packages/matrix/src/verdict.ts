/** The answer of a rule: a rejected event is data, not an exception. */
export type Verdict = Allowed | Rejection

/** No rule refuses. */
export interface Allowed {
  readonly ok: true
}

/** A rule refuses; which one, and why. */
export interface Rejection {
  readonly ok: false
  /** The rule that refuses, by its place: `auth.5.3.2`, `format.depth`. Stable enough to count in metrics. */
  readonly rule: string
  /** One sentence for a log or for an error message. */
  readonly reason: string
}

/** The one object that every allowing rule answers. */
export const ALLOWED: Allowed = Object.freeze({ ok: true })

/** A refusal by a rule. @param rule its place, such as `auth.5.3.2` @param reason one sentence */
export function reject(rule: string, reason: string): Rejection {
  return { ok: false, rule, reason }
}
