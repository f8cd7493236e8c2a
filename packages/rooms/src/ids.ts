/** Hands out numbers of one kind in blocks (`IdBlocks` of packages/storage). */
export interface IdSource {
  /** `n` numbers at once when a block is at hand, so that the hot path need not wait. */
  tryTake(n: number): number[] | undefined
  take(n: number): Promise<number[]>
}
