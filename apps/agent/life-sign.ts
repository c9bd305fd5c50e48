import type { Clock } from '#ports'
import type { Notify } from '#service'

interface LifeSignOptions {
  clock: Pick<Clock, 'monotonic'>
  notify: Pick<Notify, 'watchdog' | 'probeMs'>
  /** Commits that succeeded so far. */
  commits(): number
  /** Blocks that arrived and are not committed yet. */
  waiting(): number
  /** A commit that changes nothing; throws when the store takes no writes. */
  probe(): void
}

/**
 * Feeds the watchdog when a commit has succeeded, and in quiet times when an empty one does. While
 * blocks wait, only committing them counts: an agent that could write but gets nowhere, with a stuck
 * verifier for example, is to be restarted. Call the result often; it returns whether there was news
 * of the store, and throws what `probe` throws.
 */
export function createLifeSign(options: LifeSignOptions): () => boolean {
  const { clock, notify } = options
  let [seen, seenAtMs] = [options.commits(), clock.monotonic()]
  return () => {
    const [commits, nowMs] = [options.commits(), clock.monotonic()]
    if (commits === seen) {
      if (options.waiting() > 0 || nowMs - seenAtMs < notify.probeMs) return false
      options.probe()
    }
    ;[seen, seenAtMs] = [commits, nowMs]
    notify.watchdog()
    return true
  }
}
