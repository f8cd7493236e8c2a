interface Column {
  readonly name: string
  readonly type: string
  readonly nullable: boolean
  readonly attributes: string
  readonly meaning: string
}

interface Table {
  readonly name: string
  readonly section: string
  readonly meaning: string
  readonly kept: string
  readonly columns: Column[]
  readonly blockAttributes: string[]
}

const sqlTypes: Record<string, string> = {
  String: 'text',
  BigInt: 'bigint',
  Int: 'integer',
  Boolean: 'boolean',
  Bytes: 'bytea',
  DateTime: 'timestamptz',
}

/**
 * docs/database.md, made from the text of prisma/schema.prisma.
 * @throws Error for a table or column that the dictionary does not explain, or a table that does not say how long rows stay
 */
export function renderDatabaseDoc(schemaText: string): string {
  const tables = parse(schemaText)
  const lines = [
    '<!-- Generated from prisma/schema.prisma by `pnpm generate`. -->',
    '',
    '# The database',
    '',
    ...preface(schemaText),
    '',
    '| table | rows stay |',
    '| --- | --- |',
    ...tables.map((table) => `| [${table.name}](#${table.name}) | ${cell(table.kept)} |`),
  ]
  let section = ''
  for (const table of tables) {
    if (table.section !== section) lines.push('', `## ${capital(table.section)}`)
    section = table.section
    lines.push('', `### ${table.name}`, '', table.meaning, '', `Rows stay: ${table.kept}`, '', '| column | type | |', '| --- | --- | --- |')
    for (const column of table.columns) {
      const type = `${sqlTypes[column.type] ?? column.type}${column.nullable ? ', or NULL' : ''}${defaultOf(column)}`
      lines.push(`| ${column.name} | ${cell(type)} | ${cell(column.meaning)} |`)
    }
    const keys = keysOf(table)
    if (keys.length > 0) lines.push('', ...keys.map((key) => `- ${key}`))
  }
  return `${lines.join('\n')}\n`
}

function parse(schemaText: string): Table[] {
  const tables: Table[] = []
  let section = ''
  let comment: string[] = []
  let table: Table | undefined
  for (const [index, raw] of schemaText.split('\n').entries()) {
    const line = raw.trim()
    const problem = (what: string) => new Error(`schema.prisma line ${index + 1}: ${what}`)
    if (line.startsWith('///')) {
      comment.push(line.slice(3).trim())
      continue
    }
    const heading = /^\/\/ -+ (.+?) -+$/.exec(line)
    const model = /^model (\w+) \{$/.exec(line)
    const field = /^(\w+)\s+(\w+)(\?)?\s*(.*)$/.exec(line)
    if (heading) section = heading[1]!
    else if (model) {
      const kept = comment
        .find((text) => text.startsWith('Kept:'))
        ?.slice(5)
        .trim()
      const meaning = comment.filter((text) => !text.startsWith('Kept:')).join(' ')
      if (meaning === '' || kept === undefined) throw problem(`table ${model[1]} has no /// comment with a "Kept:" line`)
      table = { name: model[1]!, section, meaning, kept, columns: [], blockAttributes: [] }
      tables.push(table)
    } else if (line === '}') table = undefined
    else if (table && line.startsWith('@@')) table.blockAttributes.push(line)
    else if (table && field) {
      if (comment.length === 0) throw problem(`column ${table.name}.${field[1]} has no /// comment`)
      table.columns.push({
        name: field[1]!,
        type: field[2]!,
        nullable: field[3] !== undefined,
        attributes: field[4]!,
        meaning: comment.join(' '),
      })
    }
    comment = []
  }
  return tables
}

/** The comments at the head of the file. */
function preface(schemaText: string): string[] {
  const [head = ''] = schemaText.split(/^datasource /m)
  return head
    .trim()
    .split('\n')
    .map((line) => line.replace(/^\/\/ ?/, ''))
}

function defaultOf({ attributes }: Column): string {
  const value = /@default\((.*)\)/.exec(attributes)?.[1]
  if (value === undefined) return ''
  return value === 'autoincrement()' ? ', counts up' : `, default ${value.replace(/^"(.*)"$/, "'$1'")}`
}

function keysOf(table: Table): string[] {
  const keys: string[] = []
  for (const { name, attributes } of table.columns) {
    if (/@id\b/.test(attributes)) keys.push(`primary key (${name})`)
    if (/@unique\b/.test(attributes)) keys.push(`unique (${name})`)
  }
  for (const attribute of table.blockAttributes) {
    const parts = /^@@(id|unique|index)\(\[([^\]]*)\](?:, type: (\w+))?/.exec(attribute)
    if (parts === null) continue
    const kind = { id: 'primary key', unique: 'unique', index: 'index' }[parts[1] as 'id' | 'unique' | 'index']
    keys.push(`${kind} (${parts[2]})${parts[3] === undefined ? '' : `, ${parts[3].toUpperCase()}`}`)
  }
  return keys
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}
