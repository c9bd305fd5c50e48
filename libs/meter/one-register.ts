import type { RegisterEvent } from './types.ts'

export interface RegisterSettings {
  maxGapSeconds: number
  rolloverWh: number | null
  maxPowerW: number
}

/**
 * A register was at `fromWh`, fell to `toWh` and was believed there, the sum being `sumWh`. Should it
 * jump back, the energy in between is known after all, and the whole register is not energy.
 */
export interface Left {
  fromWh: number
  toWh: number
  sumWh: number
}

/** A register that shows what cannot be, until it is clear whether it means it. */
interface Suspect {
  firstWh: number
  lastWh: number
  seen: number
}

/** Readings in a row that must agree before a register that jumped is believed. */
const CONFIRM_READINGS = 3
const SECONDS_PER_HOUR = 3_600
/** Registers count in steps of up to 1 kWh, so one step is possible in no time at all. */
const ONE_STEP_WH = 1_000
/** What may have been counted in a time nobody knows. */
const UNTIMED_WH = 1_000_000

/** One register before a step. */
interface Before {
  sumWh: number
  rawWh: number
  left: Left | null
}

export interface After extends Before {
  event: RegisterEvent | null
}

/** Follows one physical register, and doubts it: what it shows may not be energy. */
export function createOneRegister(settings: RegisterSettings) {
  let suspect: Suspect | null = null
  /** Age of the last good value before this step in seconds; null after a restart. */
  let heldS: number | null = null

  /** What it shows now is believed, wherever that is. */
  function begin(): void {
    suspect = null
    heldS = 0
  }

  /** Seconds since the last good value, this step included; null when nobody knows. */
  function wait(elapsedS: number | null): number | null {
    heldS = heldS === null || elapsedS === null ? null : heldS + elapsedS
    return heldS
  }

  function plausibleWh(elapsedS: number | null): number {
    if (elapsedS === null) return UNTIMED_WH
    return Math.floor((settings.maxPowerW * elapsedS) / SECONDS_PER_HOUR) + ONE_STEP_WH
  }

  function follow(before: Before, nowWh: number, elapsedS: number | null): After {
    const limitWh = plausibleWh(wait(elapsedS))
    const after =
      returned(before, nowWh, limitWh) ??
      risen(before, nowWh, limitWh) ??
      rolledOver(before, nowWh, limitWh)
    if (after === null) return wonder(before, nowWh, plausibleWh(elapsedS))
    begin()
    return after
  }

  /** The last good value again, until the register has stood by the new one for long enough. */
  function wonder(before: Before, nowWh: number, limitWh: number): After {
    const doubted = doubt(suspect, nowWh, limitWh)
    suspect = doubted
    if (doubted.seen < CONFIRM_READINGS) return { ...before, event: 'held' }
    begin()
    const { sumWh, rawWh: fromWh } = before
    const { firstWh: toWh } = doubted
    const left = toWh < fromWh ? { fromWh, toWh, sumWh } : null
    return { sumWh: sumWh + (nowWh - toWh), rawWh: nowWh, left, event: 'reset' }
  }

  /** Across a roll-over, if going back is best explained by one; of a sum, by that of one tariff. */
  function rolledOver({ sumWh, rawWh }: Before, nowWh: number, limitWh: number): After | null {
    const modulus = settings.rolloverWh
    if (modulus === null || nowWh === 0 || nowWh >= rawWh) return null
    const gainedWh = modulus - rawWh + nowWh
    if (gainedWh < 0 || gainedWh >= modulus / 10 || gainedWh > limitWh) return null
    return { sumWh: sumWh + gainedWh, rawWh: nowWh, left: null, event: 'rollover' }
  }

  return { begin, wait, follow }
}

/**
 * The register was believed at a lower value and jumps back to where it was (half of the fall or
 * more in one step): since then as much was used as it now shows beyond the old value, of which the
 * sum already has a part. Null when this is something else.
 */
function returned({ sumWh, rawWh, left }: Before, nowWh: number, limitWh: number): After | null {
  if (left === null || rawWh >= left.fromWh || nowWh < left.fromWh) return null
  const beyondWh = nowWh - left.fromWh
  if (2 * (nowWh - rawWh) < left.fromWh - left.toWh || beyondWh > limitWh) return null
  return {
    sumWh: Math.max(sumWh, left.sumWh + beyondWh),
    rawWh: nowWh,
    left: null,
    event: 'returned',
  }
}

/** It went on, by no more than can have been used. */
function risen({ sumWh, rawWh, left }: Before, nowWh: number, limitWh: number): After | null {
  const gainedWh = nowWh - rawWh
  if (gainedWh < 0 || gainedWh > limitWh) return null
  return { sumWh: sumWh + gainedWh, rawWh: nowWh, left, event: null }
}

/**
 * One more reading that cannot be. A counter showing 0 proves nothing (a restarting meter does
 * that), so zeros never confirm; neither does a value that contradicts the ones before it.
 */
function doubt(suspect: Suspect | null, nowWh: number, limitWh: number): Suspect {
  if (nowWh === 0) return suspect ?? { firstWh: 0, lastWh: 0, seen: 0 }
  const agrees = suspect !== null && nowWh >= suspect.lastWh && nowWh - suspect.lastWh <= limitWh
  if (!agrees) return { firstWh: nowWh, lastWh: nowWh, seen: 1 }
  return { ...suspect, lastWh: nowWh, seen: suspect.seen + 1 }
}
