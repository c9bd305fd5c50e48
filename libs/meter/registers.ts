import { status } from '#reading'
import type { Measurement, RegisterEvent } from './types.ts'

/** What must be remembered beside the last reading to continue its registers. */
export interface RegisterMemory {
  /** Energy below 1 Wh, in watt-seconds (0 to 3599), so that integration loses nothing. */
  importRestWs: number
  exportRestWs: number
  /** Last good value of the physical registers, null when there are none. */
  rawImportWh: number | null
  rawExportWh: number | null
  /** Where a register was before a lower value was believed, null when it never was. */
  importLeft: Left | null
  exportLeft: Left | null
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

export interface RegisterState extends RegisterMemory {
  importWh: number
  exportWh: number
}

export interface RegisterStep {
  importWh: number
  exportWh: number
  memory: RegisterMemory
  /** Status bits of #reading. */
  flags: number
  events: RegisterEvent[]
}

export interface RegisterSettings {
  maxGapSeconds: number
  rolloverWh: number | null
  maxPowerW: number
}

/** Readings in a row that must agree before a register that jumped is believed. */
const CONFIRM_READINGS = 3
const SECONDS_PER_HOUR = 3_600
/** Registers count in steps of up to 1 kWh, so one step is possible in no time at all. */
const ONE_STEP_WH = 1_000
/** What may have been counted in a time nobody knows. */
const UNTIMED_WH = 1_000_000

const noMemory: RegisterMemory = {
  importRestWs: 0,
  exportRestWs: 0,
  rawImportWh: null,
  rawExportWh: null,
  importLeft: null,
  exportLeft: null,
}

/** One register before a step. */
interface Before {
  sumWh: number
  rawWh: number
  left: Left | null
}

interface After extends Before {
  event: RegisterEvent | null
}

/**
 * Continues a meter's cumulative registers so that they never go back: from the physical registers
 * when there are some, else by integrating power exactly. The doubt about a register that jumped is
 * kept in memory only; a restart merely starts counting its confirmations again.
 */
export function createRegisters(settings: RegisterSettings) {
  const suspects: Record<'import' | 'export', Suspect | null> = { import: null, export: null }
  /** Age of the last good value before this step in seconds; null after a restart. */
  const heldS: Record<'import' | 'export', number | null> = { import: null, export: null }

  /**
   * One step, `elapsedS` after `previous`: null when that is not known. `previous` is null for the
   * first reading ever.
   */
  function advance(
    previous: RegisterState | null,
    m: Measurement,
    elapsedS: number | null,
  ): RegisterStep {
    const measured = m.importWh ?? null
    if (measured === null && previous?.rawImportWh == null) return integrate(previous, m, elapsedS)
    if (measured === null) {
      wait('import', elapsedS)
      wait('export', elapsedS)
      return hold(previous!)
    }
    return follow(previous, m, measured, m.exportWh ?? null, elapsedS)
  }

  function integrate(
    previous: RegisterState | null,
    m: Measurement,
    elapsedS: number | null,
  ): RegisterStep {
    const from = previous ?? { ...noMemory, importWh: 0, exportWh: 0 }
    const gap = previous !== null && (elapsedS === null || elapsedS > settings.maxGapSeconds)
    const absurd = Math.abs(m.powerW) > settings.maxPowerW
    const countedS = previous === null || gap || absurd ? 0 : (elapsedS ?? 0)
    const importWs = from.importRestWs + Math.max(m.powerW, 0) * countedS
    const exportWs = from.exportRestWs + Math.max(-m.powerW, 0) * countedS
    return {
      importWh: from.importWh + Math.floor(importWs / SECONDS_PER_HOUR),
      exportWh: from.exportWh + Math.floor(exportWs / SECONDS_PER_HOUR),
      memory: {
        ...noMemory,
        importRestWs: importWs % SECONDS_PER_HOUR,
        exportRestWs: exportWs % SECONDS_PER_HOUR,
      },
      flags: status.integratedRegister | (gap || absurd ? status.substitute : 0),
      events: absurd ? ['held'] : gap ? ['gap'] : [],
    }
  }

  function follow(
    previous: RegisterState | null,
    m: Measurement,
    rawImportWh: number,
    rawExportWh: number | null,
    elapsedS: number | null,
  ): RegisterStep {
    if (previous === null || previous.rawImportWh === null || m.replaced === true) {
      return begin(previous, rawImportWh, rawExportWh, m.replaced === true)
    }
    const { importWh, exportWh, importLeft, exportLeft } = previous
    const before = {
      import: { sumWh: importWh, rawWh: previous.rawImportWh, left: importLeft },
      export: {
        sumWh: exportWh,
        rawWh: previous.rawExportWh ?? rawExportWh ?? 0,
        left: exportLeft,
      },
    }
    const imported = followOne('import', before.import, rawImportWh, elapsedS)
    if (rawExportWh === null) wait('export', elapsedS)
    const exported =
      rawExportWh === null
        ? { ...before.export, rawWh: previous.rawExportWh, event: null }
        : followOne('export', before.export, rawExportWh, elapsedS)
    const events = [imported.event, exported.event].filter((event) => event !== null)
    return {
      importWh: imported.sumWh,
      exportWh: exported.sumWh,
      memory: {
        ...noMemory,
        rawImportWh: imported.rawWh,
        rawExportWh: exported.rawWh,
        importLeft: imported.left,
        exportLeft: exported.left,
      },
      flags: flagsOf(events),
      events,
    }
  }

  /** The first physical value: the sum starts there, or goes on from what it already was. */
  function begin(
    previous: RegisterState | null,
    rawImportWh: number,
    rawExportWh: number | null,
    replaced: boolean,
  ): RegisterStep {
    suspects.import = suspects.export = null
    heldS.import = heldS.export = 0
    const events: RegisterEvent[] = replaced ? ['replaced'] : previous === null ? [] : ['reset']
    return {
      importWh: previous?.importWh ?? rawImportWh,
      exportWh: previous?.exportWh ?? rawExportWh ?? 0,
      memory: { ...noMemory, rawImportWh, rawExportWh },
      flags: flagsOf(events),
      events,
    }
  }

  /** Seconds since the last good value, this step included; null when nobody knows. */
  function wait(which: 'import' | 'export', elapsedS: number | null): number | null {
    const before = heldS[which]
    heldS[which] = before === null || elapsedS === null ? null : before + elapsedS
    return heldS[which]
  }

  function plausibleWh(elapsedS: number | null): number {
    if (elapsedS === null) return UNTIMED_WH
    return Math.floor((settings.maxPowerW * elapsedS) / SECONDS_PER_HOUR) + ONE_STEP_WH
  }

  function followOne(
    which: 'import' | 'export',
    before: Before,
    nowWh: number,
    elapsedS: number | null,
  ): After {
    const limitWh = plausibleWh(wait(which, elapsedS))
    const after =
      returned(before, nowWh, limitWh) ??
      risen(before, nowWh, limitWh) ??
      rolledOver(before, nowWh, limitWh)
    if (after === null) return wonder(which, before, nowWh, plausibleWh(elapsedS))
    heldS[which] = 0
    suspects[which] = null
    return after
  }

  /** The last good value again, until the register has stood by the new one for long enough. */
  function wonder(
    which: 'import' | 'export',
    before: Before,
    nowWh: number,
    limitWh: number,
  ): After {
    const suspect = doubt(suspects[which], nowWh, limitWh)
    suspects[which] = suspect
    if (suspect.seen < CONFIRM_READINGS) return { ...before, event: 'held' }
    suspects[which] = null
    heldS[which] = 0
    const { sumWh, rawWh: fromWh } = before
    const { firstWh: toWh } = suspect
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

  return { advance }
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

/** A meter with registers left them out once: its sum waits for them, or energy would count twice. */
function hold(previous: RegisterState): RegisterStep {
  const { importWh, exportWh } = previous
  return {
    importWh,
    exportWh,
    memory: pick(previous),
    flags: status.substitute,
    events: ['held'],
  }
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

function flagsOf(events: readonly RegisterEvent[]): number {
  let flags = 0
  for (const event of events) {
    if (event === 'held') flags |= status.substitute
    else if (event === 'replaced') flags |= status.meterReplaced | status.registerContinued
    else flags |= status.registerReset | status.registerContinued
  }
  return flags
}

function pick(state: RegisterState): RegisterMemory {
  const { importRestWs, exportRestWs, rawImportWh, rawExportWh, importLeft, exportLeft } = state
  return { importRestWs, exportRestWs, rawImportWh, rawExportWh, importLeft, exportLeft }
}
