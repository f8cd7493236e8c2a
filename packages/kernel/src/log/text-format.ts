const LEVELS: Readonly<Record<string, string>> = { debug: 'DEBUG', info: 'INFO ', warn: 'WARN ', error: 'ERROR' }
/** Fields with a place of their own in the line. */
const PLACED = new Set(['level', 'time', 'msg', 'class', 'instance', 'err'])

/** Writes a JSON log line the way people read it: `12:00:00.123 INFO  sync-1a2b message key=value`. */
export function textLine(json: string): string {
  const entry = JSON.parse(json) as Record<string, unknown>
  const time = typeof entry.time === 'string' ? entry.time.slice(11, 23) : ''
  const who = entry.instance ?? entry.class
  let line = `${time} ${LEVELS[String(entry.level)] ?? String(entry.level)} ${who === undefined ? '' : `${String(who)} `}${String(entry.msg ?? '')}`
  for (const [key, value] of Object.entries(entry)) if (!PLACED.has(key)) line += ` ${key}=${plain(value)}`
  return `${line}${entry.err === undefined || entry.err === null ? '' : errorText(entry.err)}\n`
}

/** The stack, or whatever there is in its place, then what else the error carries, such as a code. */
function errorText(error: object): string {
  const { type: _, message, stack, ...rest } = error as { type?: unknown; message?: unknown; stack?: unknown }
  const lines = [String(stack ?? message ?? '')]
  if (Object.keys(rest).length > 0) lines.push(JSON.stringify(rest))
  return `\n${lines.join('\n')}`.replaceAll('\n', '\n    ')
}

function plain(value: unknown): string {
  if (typeof value === 'string') return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value)
  return JSON.stringify(value) ?? 'undefined'
}
