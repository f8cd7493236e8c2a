/** One import or re-export of a module, as the text of a file has it. */
export interface FoundImport {
  readonly specifier: string
  /** 1-based. */
  readonly line: number
  /** `import type` or `export type`: nothing is left of it when the file runs. `import { type A }` still loads the module. */
  readonly typeOnly: boolean
}

interface Token {
  readonly kind: 'word' | 'string' | 'mark'
  readonly text: string
  readonly line: number
}

/** The imports of a TypeScript or JavaScript text: static, dynamic with a literal, and re-exports. */
export function importsOf(source: string): FoundImport[] {
  const tokens = tokenize(source)
  const found: FoundImport[] = []
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at]!
    if (token.kind !== 'word' || tokens[at - 1]?.text === '.') continue
    if (token.text === 'import') {
      const call = tokens[at + 1]?.text === '(' && tokens[at + 1]?.kind === 'mark'
      const direct = call ? tokens[at + 2] : tokens[at + 1]
      if (direct?.kind === 'string')
        found.push({ specifier: direct.text, line: token.line, typeOnly: call && tokens[at - 1]?.text === 'typeof' })
      else if (!call) addClause(found, tokens, at)
    } else if (token.text === 'export') {
      const after = tokens[at + 1]?.text === 'type' ? tokens[at + 2] : tokens[at + 1]
      if (after?.kind === 'mark' && (after.text === '{' || after.text === '*')) addClause(found, tokens, at)
    }
  }
  return found
}

/** `import type { A, type B as C } from 'x'`, from its first word on. */
function addClause(found: FoundImport[], tokens: readonly Token[], start: number): void {
  const { line } = tokens[start]!
  // `import type from 'x'` imports a default that is called "type".
  const typeOnly = tokens[start + 1]?.text === 'type' && !(tokens[start + 2]?.text === 'from' && tokens[start + 3]?.kind === 'string')
  let inBraces = false
  for (let at = start + 1; at < tokens.length; at++) {
    const { kind, text } = tokens[at]!
    if (kind === 'mark') {
      if (text === '{') inBraces = true
      else if (text === '}') inBraces = false
      else if (text !== ',' && text !== '*') return
    } else if (kind === 'word' && text === 'from' && !inBraces && tokens[at + 1]?.kind === 'string') {
      found.push({ specifier: tokens[at + 1]!.text, line, typeOnly })
      return
    } else if (kind === 'word' && (text === 'import' || text === 'export') && !inBraces) return
  }
}

const wordStart = /[A-Za-z_$\u0080-\uffff]/
const wordPart = /[\w$\u0080-\uffff]/
/** After these words a slash begins a regular expression. */
const beforeExpression = new Set(['return', 'typeof', 'case', 'in', 'of', 'delete', 'void', 'throw', 'new', 'await', 'yield', 'else', 'do'])

/** Words, strings and marks; comments, templates, numbers and regular expressions give nothing that looks like an import. */
function tokenize(source: string): Token[] {
  const tokens: Token[] = []
  /** For each open brace, whether it is the `${` of a template. */
  const braces: boolean[] = []
  let line = 1
  let at = 0
  const push = (kind: Token['kind'], text: string) => tokens.push({ kind, text, line })
  const skipTo = (end: number) => {
    for (; at < end && at < source.length; at++) if (source[at] === '\n') line++
  }
  const template = () => {
    for (at++; at < source.length; at++) {
      if (source[at] === '\\') at++
      else if (source[at] === '\n') line++
      else if (source[at] === '$' && source[at + 1] === '{') {
        braces.push(true)
        at += 2
        return
      } else if (source[at] === '`') {
        at++
        push('mark', '``')
        return
      }
    }
  }
  while (at < source.length) {
    const char = source[at]!
    if (char === '/' && source[at + 1] === '/') {
      const end = source.indexOf('\n', at)
      skipTo(end === -1 ? source.length : end)
    } else if (char === '/' && source[at + 1] === '*') {
      const end = source.indexOf('*/', at + 2)
      skipTo(end === -1 ? source.length : end + 2)
    } else if (char === "'" || char === '"') {
      const begin = at + 1
      for (at++; at < source.length && source[at] !== char && source[at] !== '\n'; at++) if (source[at] === '\\') at++
      push('string', source.slice(begin, at))
      at++
    } else if (char === '`') template()
    else if (char === '{') {
      braces.push(false)
      push('mark', char)
      at++
    } else if (char === '}') {
      if (braces.pop() === true) template()
      else {
        push('mark', char)
        at++
      }
    } else if (wordStart.test(char)) {
      const begin = at
      while (at < source.length && wordPart.test(source[at]!)) at++
      push('word', source.slice(begin, at))
    } else if (/\d/.test(char)) {
      while (at < source.length && /[\w.]/.test(source[at]!)) at++
      push('mark', '0')
    } else if (char === '/' && startsExpression(tokens.at(-1))) {
      skipTo(endOfRegExp(source, at))
      push('mark', '//')
    } else {
      if (char === '\n') line++
      else if (!/\s/.test(char)) push('mark', char)
      at++
    }
  }
  return tokens
}

function startsExpression(before: Token | undefined): boolean {
  if (before === undefined) return true
  if (before.kind === 'string') return false
  if (before.kind === 'word') return beforeExpression.has(before.text)
  return !(before.text === ')' || before.text === ']' || before.text === '}' || before.text === '0' || before.text === '``')
}

function endOfRegExp(source: string, start: number): number {
  let inClass = false
  for (let at = start + 1; at < source.length; at++) {
    const char = source[at]
    if (char === '\n') return start + 1
    if (char === '\\') at++
    else if (char === '[') inClass = true
    else if (char === ']') inClass = false
    else if (char === '/' && !inClass) return at + 1
  }
  return start + 1
}
