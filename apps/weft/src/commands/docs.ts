import { documents } from '../documents.ts'
import { UsageError } from '../usage.ts'

/** `weft docs NAME` */
export async function docs(name: string): Promise<void> {
  const document = documents.find((one) => one.name === name)
  if (document === undefined) throw new UsageError(`there is no document ${name}: ${documents.map((one) => one.name).join(', ')}`)
  process.stdout.write(`${(await document.render()).trimEnd()}\n`)
}
