import type { BoundSql, Tx } from '@weft/storage'
import type { FencedTransactions } from './ports.ts'

/** What it takes to fence; replication's StreamWriter is one. */
export interface Fence {
  /** Fails its transaction once another process has become the writer. */
  fence(): BoundSql
  /** The error to pass on for a failed write. */
  refused(error: unknown): unknown
}

/** Transactions that write no stream and still end with this writer's reign. */
export function fencedTransactions(db: { transaction<T>(fn: (tx: Tx) => Promise<T>): Promise<T> }, writer: Fence): FencedTransactions {
  return {
    async transaction(fn) {
      try {
        return await db.transaction(async (tx) => {
          const result = await fn(tx)
          // Last, so that the epoch's row is held for the shortest time; whatever came before rolls back with it.
          await tx.pipeline([writer.fence()])
          return result
        })
      } catch (error) {
        throw writer.refused(error)
      }
    },
  }
}
