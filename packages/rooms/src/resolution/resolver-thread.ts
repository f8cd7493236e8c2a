import { setPriority } from 'node:os'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { Database, EventGraphReader } from '@weft/storage'
import { resolveStates } from './resolve-states.ts'
import type { FromThread, ThreadData, ToThread } from './thread-messages.ts'

/** Less than the event loop and PostgreSQL have: who sends a message is served before who quarrels. */
const NICENESS = 10

const port = parentPort as MessagePort
const { connection, applicationName, limits } = workerData as ThreadData
const db = new Database({ connection, applicationName, poolSize: 1 })
const graph = new EventGraphReader(db)
const running = new Map<number, AbortController>()

// Linux alone has a priority for each thread; elsewhere this would be the whole process's.
if (process.platform === 'linux') setPriority(NICENESS)

port.on('message', (message: ToThread) => {
  if (message.kind === 'cancel') running.get(message.id)?.abort(new Error('the resolution was cancelled'))
  else run(message).then(answer, (cause: unknown) => answer({ id: message.id, error: described(cause) }))
})

async function run({ id, request }: Extract<ToThread, { kind: 'resolve' }>): Promise<FromThread> {
  const controller = new AbortController()
  running.set(id, controller)
  try {
    return { id, resolution: await resolveStates(graph, request, limits, controller.signal) }
  } finally {
    running.delete(id)
  }
}

function answer(message: FromThread): void {
  port.postMessage(message)
}

function described(cause: unknown): { name: string; message: string } {
  return cause instanceof Error ? { name: cause.constructor.name, message: cause.message } : { name: 'Error', message: String(cause) }
}
