import { VOLTS, type Profile } from './profiles.ts'

/** What a chip does with its current. */
export type Doing = 'cpu' | 'radio' | 'sleep' | 'off'

export interface Spent {
  /** Milliseconds of the chip's life by what it did. */
  ms: Record<Doing, number>
  /** Milliseconds of arithmetic, part of the above. */
  arithmeticMs: number
  framesSent: number
  mJ: number
}

export interface Ledger {
  /** From this moment (true ms) on the chip does this. */
  begin(doing: Doing, atMs: number): void
  arithmetic(ms: number): void
  frame(): void
  /** Everything so far. */
  spent(atMs: number): Spent
}

/** Adds up time and energy; W = V·A. */
export function createLedger(profile: Profile, fromMs: number): Ledger {
  const ms: Record<Doing, number> = { cpu: 0, radio: 0, sleep: 0, off: 0 }
  let doing: Doing = 'off'
  let sinceMs = fromMs
  let arithmeticMs = 0
  let framesSent = 0

  function settle(atMs: number): void {
    ms[doing] += Math.max(0, atMs - sinceMs)
    sinceMs = Math.max(sinceMs, atMs)
  }

  return {
    begin(next, atMs) {
      settle(atMs)
      doing = next
    },
    arithmetic: (spentMs) => void (arithmeticMs += spentMs),
    frame: () => void (framesSent += 1),
    spent(atMs) {
      settle(atMs)
      const { cpu, radio, sleep } = profile.milliamps
      const { milliamps, msPerFrame } = profile.transmit
      const sending = framesSent * msPerFrame * (milliamps - radio)
      const milliampMs = ms.cpu * cpu + ms.radio * radio + ms.sleep * sleep + sending
      return { ms: { ...ms }, arithmeticMs, framesSent, mJ: (milliampMs * VOLTS) / 1_000 }
    },
  }
}

/** What was spent between two looks. */
export function between(before: Spent, after: Spent): Spent {
  const doings = Object.keys(before.ms) as Doing[]
  const ms = { ...after.ms }
  for (const doing of doings) ms[doing] -= before.ms[doing]
  return {
    ms,
    arithmeticMs: after.arithmeticMs - before.arithmeticMs,
    framesSent: after.framesSent - before.framesSent,
    mJ: after.mJ - before.mJ,
  }
}

/** Rounded for a log. */
export function figures({ ms, arithmeticMs, mJ }: Spent): object {
  const awakeMs = Math.round(ms.cpu + ms.radio)
  return {
    awakeMs,
    radioMs: Math.round(ms.radio),
    arithmeticMs: Math.round(arithmeticMs * 10) / 10,
    mJ: Math.round(mJ * 10) / 10,
  }
}
