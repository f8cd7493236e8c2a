/** Tells whether a text matches a pattern. */
export type Matcher = (text: string) => boolean

/** How a pattern is read. */
export interface GlobOptions {
  /** Compares without regard to case. */
  readonly ignoreCase?: boolean
  /** Gives `?` its meaning; without it, `*` is the only wildcard. Default true. */
  readonly questionMark?: boolean
}

/**
 * Compiles a glob pattern: `*` matches any run of characters, `?` exactly one. No regular expression: matching takes at most
 * time proportional to pattern times text, without `?` to their sum for all but contrived texts, and a pattern longer than the text it could match is refused at once.
 *
 * Spec: appendices, "Glob-style matching".
 */
export function globMatcher(pattern: string, options: GlobOptions = {}): Matcher {
  const { ignoreCase = false, questionMark = true } = options
  const normal = ignoreCase ? pattern.toLowerCase() : pattern
  const wild = normal.includes('*') || (questionMark && normal.includes('?'))
  const match = wild ? wildMatcher(normal, questionMark) : (text: string) => text === normal
  return ignoreCase ? (text) => match(text.toLowerCase()) : match
}

/** A matcher over several patterns: true when one of them matches. Those without wildcards cost one look-up together. */
export function globListMatcher(patterns: readonly string[], options: GlobOptions = {}): Matcher {
  const { ignoreCase = false, questionMark = true } = options
  const exact = new Set<string>()
  const wild: Matcher[] = []
  for (const pattern of new Set(patterns)) {
    const normal = ignoreCase ? pattern.toLowerCase() : pattern
    if (normal.includes('*') || (questionMark && normal.includes('?'))) wild.push(wildMatcher(normal, questionMark))
    else exact.add(normal)
  }
  return (text) => {
    const normal = ignoreCase ? text.toLowerCase() : text
    return exact.has(normal) || wild.some((matches) => matches(normal))
  }
}

function wildMatcher(pattern: string, questionMark: boolean): Matcher {
  const collapsed = pattern.replace(/\*+/g, '*')
  if (collapsed === '*') return () => true
  const stars = collapsed.split('*').length - 1
  const least = collapsed.length - stars
  // The common forms need no loop.
  if (!(questionMark && collapsed.includes('?')) && stars === 1) {
    const [prefix, suffix] = collapsed.split('*') as [string, string]
    return (text) => text.length >= least && text.startsWith(prefix) && text.endsWith(suffix)
  }
  if (!(questionMark && collapsed.includes('?'))) return segmentsMatcher(collapsed.split('*'))
  return (text) => text.length >= least && matches(collapsed, text, questionMark)
}

/**
 * Looks for what stands between the stars from left to right, each at its first place: a later one could leave the next no more room.
 * @param segments the pattern cut at its stars
 */
function segmentsMatcher(segments: readonly string[]): Matcher {
  const prefix = segments[0] as string
  const suffix = segments.at(-1) as string
  const between = segments.slice(1, -1)
  const least = segments.reduce((sum, segment) => sum + segment.length, 0)
  return (text) => {
    if (text.length < least || !text.startsWith(prefix) || !text.endsWith(suffix)) return false
    let at = prefix.length
    for (const segment of between) {
      const found = text.indexOf(segment, at)
      if (found === -1) return false
      at = found + segment.length
    }
    return at <= text.length - suffix.length
  }
}

/**
 * The two-pointer match: on a mismatch only the last star is tried further, as an earlier star could gain nothing. That makes it
 * polynomial where a backtracking regular expression is exponential in the number of stars.
 */
function matches(pattern: string, text: string, questionMark: boolean): boolean {
  let p = 0
  let t = 0
  let starAt = -1
  let starText = 0
  while (t < text.length) {
    const unit = pattern.charCodeAt(p)
    if (unit === 0x2a) {
      starAt = p++
      starText = t
    } else if (unit === 0x3f && questionMark && p < pattern.length) {
      p++
      t += charLength(text, t)
    } else if (p < pattern.length && unit === text.charCodeAt(t)) {
      p++
      t++
    } else if (starAt !== -1) {
      p = starAt + 1
      starText += charLength(text, starText)
      t = starText
    } else {
      return false
    }
  }
  while (pattern.charCodeAt(p) === 0x2a) p++
  return p === pattern.length
}

/** A character beyond U+FFFF is two units. */
function charLength(text: string, at: number): number {
  return (text.codePointAt(at) as number) > 0xffff ? 2 : 1
}
