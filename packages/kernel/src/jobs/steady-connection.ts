import type * as BullMQ from 'bullmq'
import type pg from 'pg'

/**
 * BullMQ's backend over connections whose loss never ends the process. BullMQ itself leaves a connection without a listener for its
 * errors while it prepares its schema and while it closes; one that breaks then, when PostgreSQL dies, is an uncaught exception.
 * Both packages are given to it: who runs no jobs imports neither.
 */
export function steadyBackend(
  { PostgresConnection, PostgresQueueBackend }: typeof BullMQ,
  { Client }: typeof pg,
): typeof BullMQ.createPostgresBackend {
  class SteadyClient extends Client {
    constructor(config?: pg.ClientConfig) {
      super(config)
      this.on('error', ignore)
    }
  }

  class SteadyConnection extends PostgresConnection {
    override async getListenClient() {
      const client = await super.getListenClient()
      // It is of pg's own class, none of the pool's; as it closes, BullMQ takes all listeners away and then waits for its end.
      const removeAll = client.removeAllListeners.bind(client)
      client.removeAllListeners = (...events) => {
        removeAll(...events)
        return client.on('error', ignore)
      }
      return client
    }
  }

  return (name, opts, { withBlockingConnection = false } = {}) => {
    const { connection } = opts
    if (typeof connection !== 'object' || 'query' in connection) throw new TypeError('the connection is given by its settings')
    const steady = new SteadyConnection({ ...connection, Client: SteadyClient } as BullMQ.PostgresConnectionOptions)
    return new PostgresQueueBackend(steady, name, opts, true, withBlockingConnection ? name : undefined)
  }
}

function ignore(): void {
  // Whoever used the connection is told by what it asked for.
}
