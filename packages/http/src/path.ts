/** One segment of a path template. */
export type TemplateSegment = { readonly literal: string } | { readonly param: string; readonly optional: boolean }

/** A path template taken apart: `/_matrix/client/v3/rooms/{roomId}/state/{eventType}/{stateKey?}`. */
export interface PathTemplate {
  readonly text: string
  readonly segments: readonly TemplateSegment[]
  readonly params: readonly string[]
  /** The template ends with a slash, as `/pushrules/` does: it matches with and without it. */
  readonly trailingSlash: boolean
}

const PARAM = /^\{([A-Za-z][A-Za-z0-9]*)(\?)?\}$/
const VERSION_SEGMENT = /^(?:v|r)\d+$|^unstable$|^api$/

/** Parses a path template. @throws Error for a template that the matcher could not serve; found at start, when the registry is made */
export function parseTemplate(text: string): PathTemplate {
  if (!text.startsWith('/') || text.includes('//') || text.includes('?}/')) throw new Error(`not a path template: ${text}`)
  const trailingSlash = text.endsWith('/')
  const parts = text.slice(1, trailingSlash ? -1 : undefined).split('/')
  const segments = parts.map((part): TemplateSegment => {
    const param = PARAM.exec(part)
    if (param !== null) return { param: param[1] as string, optional: param[2] !== undefined }
    if (part.includes('{') || part.includes('}') || part === '') throw new Error(`not a path template: ${text}`)
    return { literal: part }
  })
  const params = segments.flatMap((segment) => ('param' in segment ? [segment.param] : []))
  if (new Set(params).size !== params.length) throw new Error(`a parameter is named twice: ${text}`)
  return { text, segments, params, trailingSlash }
}

/** The paths that an endpoint answers on: its own and its aliases, the latter spelled out. */
export function expandPaths(path: string, aliases: readonly string[] = []): string[] {
  return [path, ...aliases.map((alias) => (alias.startsWith('/') ? alias : replaceVersion(path, alias)))]
}

function replaceVersion(path: string, version: string): string {
  const parts = path.split('/')
  const at = parts.findIndex((part) => VERSION_SEGMENT.test(part))
  if (at === -1) throw new Error(`${path} has no version segment that ${version} could stand for`)
  parts[at] = version
  return parts.join('/')
}

/** The template with its parameter names taken out: two endpoints of the same shape and method would shadow each other. */
export function templateShape(template: PathTemplate): string {
  return template.segments.map((segment) => ('literal' in segment ? `/${segment.literal}` : '/{}')).join('')
}
