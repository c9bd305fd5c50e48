/** Virtual time: a queue of events, and a running digest of everything that happened. */

interface Event {
  atMs: number
  /** Events of the same moment run in the order they were made. */
  number: number
  run: () => void
}

export type Detail = string | number

export interface Engine {
  /** True time, ms since the run began; devices only see their own clocks. */
  readonly nowMs: number
  readonly events: number
  after(delayMs: number, run: () => void): void
  /** Runs everything due until `untilMs`, and stands there. */
  runUntil(untilMs: number): Promise<void>
  /** Promises were settled in this event: what awaits them goes on before the next one. */
  settled(): void
  /** Adds one line to the trace; equal seeds give equal traces. */
  note(what: string, ...details: Detail[]): void
  /** Of all notes so far; hexadecimal. */
  digest(): string
}

/** More than anything awaits behind each other; turns of the microtask queue cost no time. */
const TURNS = 4

/** `print` receives every line of the trace, with its time. */
export function createEngine(print: ((line: string) => void) | null = null): Engine {
  const heap: Event[] = []
  let nowMs = 0
  let made = 0
  let events = 0
  let awaited = false
  let [low, high] = [0x811c9dc5, 0x01000193]

  function mix(word: number): void {
    low = Math.imul(low ^ word, 0x01000193)
    high = Math.imul(high ^ (low >>> 13) ^ word, 0x85ebca6b)
  }

  function mixText(text: string): void {
    for (let i = 0; i < text.length; i++) mix(text.charCodeAt(i))
  }

  return {
    get nowMs() {
      return nowMs
    },
    get events() {
      return events
    },
    after(delayMs, run) {
      push(heap, { atMs: nowMs + Math.max(0, delayMs), number: made++, run })
    },
    async runUntil(untilMs) {
      for (let next = heap[0]; next !== undefined && next.atMs <= untilMs; next = heap[0]) {
        pop(heap)
        nowMs = next.atMs
        events += 1
        next.run()
        if (!awaited) continue
        awaited = false
        for (let turn = 0; turn < TURNS; turn++) await Promise.resolve()
      }
      nowMs = Math.max(nowMs, untilMs)
    },
    settled() {
      awaited = true
    },
    note(what, ...details) {
      mix(Math.floor(nowMs))
      mixText(what)
      for (const detail of details) {
        if (typeof detail === 'number') mix(detail | 0)
        else mixText(detail)
      }
      print?.(`${(nowMs / 1000).toFixed(3).padStart(12)}  ${what} ${details.join(' ')}`)
    },
    digest: () => hex(high) + hex(low),
  }
}

function hex(word: number): string {
  return (word >>> 0).toString(16).padStart(8, '0')
}

function before(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.number < b.number)
}

function push(heap: Event[], event: Event): void {
  let at = heap.length
  heap.push(event)
  while (at > 0) {
    const parent = (at - 1) >> 1
    if (!before(event, heap[parent]!)) break
    heap[at] = heap[parent]!
    at = parent
  }
  heap[at] = event
}

function pop(heap: Event[]): void {
  const last = heap.pop()!
  if (heap.length === 0) return
  let at = 0
  for (;;) {
    let child = 2 * at + 1
    if (child >= heap.length) break
    if (child + 1 < heap.length && before(heap[child + 1]!, heap[child]!)) child += 1
    if (!before(heap[child]!, last)) break
    heap[at] = heap[child]!
    at = child
  }
  heap[at] = last
}
