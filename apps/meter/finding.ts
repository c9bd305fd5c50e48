/** The fog node of a meter that knows its name, or only its authority, and not its address. */
import { findFogs, type FoundFog } from '#mdns'
import type { Finder, Target } from '#mqtt-link'

const NAMED = 'mdns:'
const ANY = 'mdns:any'
/** Places where nobody proved to be the node, kept in mind for the next search. */
const MOST_FAILED = 256

export function isFound(url: string): boolean {
  return url === NAMED || url === ANY
}

type Search = (enough: (found: readonly FoundFog[]) => boolean) => Promise<FoundFog[]>

/**
 * One for all meters of a process, which search together. With `mdns:` only nodes that say they are
 * `node`; with `mdns:any` others too, after it, and each has to prove the name it says. Where the node
 * proved itself last comes first, and where somebody failed to comes last, so that one who answers in its
 * name gets in its way no more than once.
 */
export function createFinder(
  { url, node }: { url: string; node: string },
  search: Search = (enough) => findFogs({ enough }),
): Finder {
  const failures = new Map<string, number>()
  let provedAt: string | null = null
  let running: Promise<FoundFog[]> | null = null
  const named = (fog: FoundFog) => fog.node === node
  const rank = (target: Target) => {
    const key = keyOf(target)
    if (key === provedAt) return -1
    return 2 * (failures.get(key) ?? 0) + (target.node === node ? 0 : 1)
  }

  return {
    async find() {
      running ??= search((found) => found.some(named)).finally(() => (running = null))
      const wanted = (await running).filter((fog) => url === ANY || named(fog))
      return wanted.map(targetOf).toSorted((a, b) => rank(a) - rank(b))
    },
    tried(target, proved) {
      const key = keyOf(target)
      const count = failures.get(key) ?? 0
      failures.delete(key)
      if (proved) provedAt = key
      else {
        failures.set(key, count + 1)
        if (key === provedAt) provedAt = null
      }
      for (const oldest of failures.keys()) {
        if (failures.size <= MOST_FAILED) break
        failures.delete(oldest)
      }
    },
  }
}

function targetOf({ node, address, port }: FoundFog): Target {
  return { node, url: `mqtt://${address}:${port}` }
}

function keyOf({ node, url }: Target): string {
  return `${node} ${url}`
}
