import { fromUtf8, utf8 } from '#bytes'
import type { Clock } from '#ports'

/** The clock that simulated and replayed readings carry: wall time, perhaps compressed. */
export interface Timeline {
  /** Reading time at which it all began; registers are counted from there. */
  anchorS: number
  /** Reading time now, in seconds with fractions. */
  nowS(): number
  /** Milliseconds until reading time `timeS`; negative when it is past. */
  msUntil(timeS: number): number
}

export interface TimelineOptions {
  clock: Clock
  /** Reading time to begin with, or null for the wall clock. */
  startS: number | null
  intervalSeconds: number
  timeScale: number
  /** Where the beginning is remembered, so that a restarted meter is where it would have been. */
  remembered: Uint8Array | null
  remember: (note: Uint8Array) => void
}

interface Anchor {
  wallMs: number
  anchorS: number
  startS: number | null
  intervalSeconds: number
  timeScale: number
}

/** A household whose beginning is longer ago than this begins anew: nobody models so many steps. */
const MAX_STEPS = 1_000_000

/**
 * Continues the remembered timeline if it was made with the same settings, else begins one. While
 * the program is down the household goes on living: a restarted meter misses readings, not energy.
 */
export function openTimeline(options: TimelineOptions): Timeline {
  const { clock, intervalSeconds, timeScale } = options
  const anchor = usable(options) ?? begin(options)
  const elapsedS = ((clock.now() - anchor.wallMs) / 1_000) * timeScale
  const baseS = anchor.anchorS + elapsedS
  const baseMs = clock.monotonic()
  if (elapsedS / intervalSeconds > MAX_STEPS) return openTimeline({ ...options, remembered: null })
  return {
    anchorS: anchor.anchorS,
    nowS: () => baseS + ((clock.monotonic() - baseMs) / 1_000) * timeScale,
    msUntil: (timeS) => ((timeS - baseS) / timeScale) * 1_000 - (clock.monotonic() - baseMs),
  }
}

/**
 * A `start` close to the present is the moment the wall clock shows it, so that meters of several
 * processes with the same configuration share one timeline to the second; one far away begins now.
 */
const NEAR_MS = 3_600_000

function begin({ clock, startS, intervalSeconds, timeScale, remember }: TimelineOptions): Anchor {
  const nowMs = clock.now()
  const near = startS !== null && Math.abs(nowMs - startS * 1_000) <= NEAR_MS
  const wallMs = near ? startS * 1_000 : nowMs
  const fromS = startS ?? Math.floor(nowMs / 1_000)
  const anchorS = Math.floor(fromS / intervalSeconds) * intervalSeconds
  const anchor = { wallMs, anchorS, startS, intervalSeconds, timeScale }
  remember(utf8(JSON.stringify(anchor)))
  return anchor
}

function usable(options: TimelineOptions): Anchor | null {
  if (options.remembered === null) return null
  const anchor = JSON.parse(fromUtf8(options.remembered)) as Anchor
  const same =
    anchor.startS === options.startS &&
    anchor.intervalSeconds === options.intervalSeconds &&
    anchor.timeScale === options.timeScale
  return same ? anchor : null
}
