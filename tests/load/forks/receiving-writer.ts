/**
 * A writer that is fed with another server's events from inside: `receiving-writer.ts CONFIG`. It is the real one, which knows the keys
 * of the pretend servers; as nothing over HTTP gives it events yet, it listens on the socket RECEIVING_WRITER_SOCKET for what to do.
 */
import { createReadStream } from 'node:fs'
import { createServer } from 'node:http'
import { createInterface } from 'node:readline'
import { composeWriter, loadSigner } from '@weft/app-writer'
import { type ProcessContext, runProcess } from '@weft/kernel'
import { type JsonValue, parseJson } from '@weft/matrix'
import { redisBackplane } from '@weft/replication'
import type { Receiver } from '@weft/rooms'
import { openDatabase } from '@weft/storage'
import { PeerKeys } from '@weft/testkit'
import { forkPeers } from './forked-room.ts'
import { LoopWatch } from './loop-watch.ts'

/** Transactions of other servers that are under way at once. */
const SENDERS = 4

/** What it is asked to do. */
export type Order =
  /** Receives a file's events: a transaction a line, `[pdu, …]`. The first is the room up to where it forks, where `open` says so. */
  | { readonly do: 'feed'; readonly file: string; readonly roomId: string; readonly roomVersion: string; readonly open: boolean }
  /** What the event loop was like since this was last asked. */
  | { readonly do: 'loop' }

async function compose(context: ProcessContext): Promise<void> {
  const { config, clock, log, metrics, lifecycle } = context
  const watch = new LoopWatch()
  const { active } = await composeWriter(context, {
    db: openDatabase(context),
    backplane: await redisBackplane({ url: config.redis?.url ?? '', serverName: config.server_name, clock, log, metrics }),
    signer: await loadSigner(config),
    keys: new PeerKeys(forkPeers),
  })
  const server = createServer(async (request, response) => {
    try {
      let text = ''
      for await (const chunk of request) text += chunk
      const order = JSON.parse(text) as Order
      const answer = order.do === 'loop' ? watch.take() : await feed((await active).receiver, order)
      response.end(JSON.stringify(answer))
    } catch (error) {
      response.statusCode = 500
      response.end(String(error))
    }
  })
  server.listen(process.env.RECEIVING_WRITER_SOCKET)
  lifecycle.onStop('orders', async () => {
    server.closeAllConnections()
    server.close()
  })
}

/** Gives the receiver all there is, as several servers would. @returns how many events had which outcome */
async function feed(receiver: Receiver, order: Extract<Order, { do: 'feed' }>): Promise<Record<string, number>> {
  const { roomId, roomVersion, file } = order
  const outcomes: Record<string, number> = {}
  const lines = createInterface({ input: createReadStream(file) })[Symbol.asyncIterator]()
  let first = order.open
  const sender = async () => {
    for (;;) {
      const { value, done } = await lines.next()
      if (done) return
      const pdus = parseJson(value) as JsonValue[]
      const opens = first
      first = false
      const received = await (opens ? receiver.open({ roomId, roomVersion, pdus }) : receiver.receive({ roomId, pdus }))
      for (const { outcome } of received) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: order.open ? 1 : SENDERS }, sender))
  return outcomes
}

await runProcess('writer', compose, { configPath: process.argv[2] ?? '' })
