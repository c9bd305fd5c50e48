import type { Database } from './database.ts'

/**
 * Checkpoints every `everyMs` until the returned function is called. Automatic checkpoints copy
 * pages but never shrink the WAL, and a reader at the wrong moment postpones them; a timed TRUNCATE
 * bounds the file. Failures go to `onError` and the next round tries again.
 */
export function startCheckpoints(
  database: Database,
  everyMs: number,
  onError: (error: unknown) => void,
): () => void {
  const timer = setInterval(() => {
    try {
      database.checkpoint()
    } catch (error) {
      onError(error)
    }
  }, everyMs)
  timer.unref()
  return () => clearInterval(timer)
}
