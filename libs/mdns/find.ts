/** Asks the local networks which fog nodes there are, RFC 6762 §5.2. */
import { CodedError } from '#errors'
import { gather, MOST_FOUND, type FoundFog } from './gather.ts'
import { joinGroup, type Group } from './group.ts'
import { listInterfaces, type Interface } from './interfaces.ts'
import { decodeMessage, encodeMessage } from './message.ts'
import { SERVICE } from './names.ts'
import { reasonOf } from './reason.ts'

export type { FoundFog } from './gather.ts'

export interface FindOptions {
  /** Ends early once this says that enough was found, and others have had their time to answer. */
  enough?: (found: readonly FoundFog[]) => boolean
  /** How long to listen at most, ms; `DEFAULT_LISTEN_MS` when absent. */
  listenMs?: number
  /** A test's own network. */
  network?: { list: () => Interface[]; join: typeof joinGroup }
}

export const DEFAULT_LISTEN_MS = 3_500
/** RFC 6762 §5.2: again after a second, then after twice as long; messages get lost. */
const ASK_AT_MS = [0, 1_000, 3_000]
/**
 * Whoever answers does so within 120 ms, or a second after it last did: the first to answer must not be the
 * only one heard.
 */
const OTHERS_MS = 1_200

/**
 * Every fog node that answers, in the order of name, address and port, whoever they are: a name is a
 * claim. @throws mdns/closed when this machine cannot ask at all
 */
export function findFogs(options: FindOptions = {}): Promise<FoundFog[]> {
  const { enough = () => false, listenMs = DEFAULT_LISTEN_MS } = options
  const { list, join } = options.network ?? { list: listInterfaces, join: joinGroup }
  const interfaces = listed(list)
  const found = new Map<string, FoundFog>()
  return new Promise((resolve, reject) => {
    const timers: NodeJS.Timeout[] = []
    const groups = new Set<Group>()
    let late: NodeJS.Timeout | undefined
    let failure: unknown = null

    function end(): void {
      for (const timer of [...timers, late]) clearTimeout(timer)
      for (const group of groups) group.close()
      if (groups.size === 0 && failure !== null) reject(closed(failure))
      else resolve([...found.values()].toSorted(inOrder))
    }

    function heard(at: Interface, bytes: Uint8Array): void {
      const message = decodeMessage(bytes)
      if (message === null) return
      for (const fog of gather(message, at.isNear)) {
        if (found.size < MOST_FOUND) found.set(keyOf(fog), fog)
      }
      if (enough([...found.values()])) late ??= setTimeout(end, OTHERS_MS)
    }

    for (const at of interfaces) {
      const group = join(
        at,
        {
          message: (bytes) => heard(at, bytes),
          failed(error) {
            groups.delete(group)
            failure = error
            if (groups.size === 0) end()
          },
        },
        () => {
          for (const ms of ASK_AT_MS) timers.push(setTimeout(() => void group.send(QUERY), ms))
        },
      )
      groups.add(group)
    }
    timers.push(setTimeout(end, interfaces.length === 0 ? 0 : listenMs))
  })
}

const QUERY = encodeMessage({ type: 'query', id: 0, questions: [{ name: SERVICE, type: 'PTR' }] })

function listed(list: () => Interface[]): Interface[] {
  try {
    return list()
  } catch (error) {
    throw closed(error)
  }
}

function closed(error: unknown): CodedError {
  const { code, advice } = reasonOf(error)
  const message = `nobody can be asked by mDNS here (${code})${advice === null ? '' : `: ${advice}`}`
  return new CodedError('mdns/closed', message, { cause: error })
}

/** The same order each time, whoever answered first. */
function inOrder(a: FoundFog, b: FoundFog): number {
  return keyOf(a) < keyOf(b) ? -1 : 1
}

function keyOf({ node, address, port }: FoundFog): string {
  return `${node} ${address} ${port}`
}
