import { CodedError, codeOf } from '#errors'
import { parseAddress, readCa } from './address.ts'
import type { Destination, Finder, Target } from './types.ts'

/** Where an initiator goes next. */
export interface Places {
  /** In use or tried next; null when somebody has to be found first. */
  readonly current: Target | null
  /** The node has proved itself at the present place. */
  proved(): void
  /** It has not: the next one. True when that is a place not tried since the last search. */
  failed(): boolean
  /** Fills the list; returns why it is still empty. Never throws. */
  search(): Promise<PlacesFailure | null>
}

export interface PlacesFailure {
  code: string
  detail: string | null
}

/** @throws mqtt-link/bad-url, mqtt-link/bad-ca for a place that is known */
export function placesOf(destination: Destination): Places {
  if ('finder' in destination) return foundPlaces(destination.finder)
  const { alternatives = [], ...first } = destination
  return knownPlaces([first, ...alternatives].map(checkTarget))
}

function knownPlaces(targets: readonly Target[]): Places {
  let index = 0
  return {
    get current() {
      return targets[index % targets.length] ?? null
    },
    proved: () => undefined,
    failed() {
      index += 1
      return false
    },
    search: () => Promise.resolve(null),
  }
}

/** Each place once; then the node may be elsewhere. */
function foundPlaces(finder: Finder): Places {
  let waiting: Target[] = []
  const report = (proved: boolean) => {
    const [target] = waiting
    if (target !== undefined) finder.tried(target, proved)
  }
  return {
    get current() {
      return waiting[0] ?? null
    },
    proved: () => report(true),
    failed() {
      report(false)
      waiting.shift()
      return waiting.length > 0
    },
    async search() {
      try {
        waiting = (await finder.find()).map(checkTarget)
        return waiting.length > 0 ? null : { code: 'mqtt-link/nobody-found', detail: null }
      } catch (error) {
        return { code: codeOf(error), detail: error instanceof CodedError ? error.message : null }
      }
    },
  }
}

function checkTarget({ url, node, ca }: Target): Target {
  parseAddress(url)
  const pem = readCa(ca)
  return pem === undefined ? { url, node } : { url, node, ca: pem }
}
