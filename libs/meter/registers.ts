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
}

/** A register that shows less than before, until it is clear whether it means it. */
interface Suspect {
  firstWh: number
  lastWh: number
  seen: number
}

export interface RegisterState extends RegisterMemory {
  timeS: number
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
}

/** Readings in a row that must agree before a lower register is believed. */
const CONFIRM_READINGS = 3
const SECONDS_PER_HOUR = 3_600

const noMemory: RegisterMemory = {
  importRestWs: 0,
  exportRestWs: 0,
  rawImportWh: null,
  rawExportWh: null,
}

/**
 * Continues a meter's cumulative registers so that they never go back: from the physical registers
 * when there are some, else by integrating power exactly. The doubt about a register that went back
 * is kept in memory only; a restart merely starts counting its confirmations again.
 */
export function createRegisters(settings: RegisterSettings) {
  const suspects: { import: Suspect | null; export: Suspect | null } = {
    import: null,
    export: null,
  }

  /** One step; `previous` is null for the first reading ever. */
  function advance(previous: RegisterState | null, m: Measurement): RegisterStep {
    const measured = m.importWh ?? null
    if (measured === null && previous?.rawImportWh == null) return integrate(previous, m)
    if (measured === null) return hold(previous!)
    return follow(previous, m, measured, m.exportWh ?? null)
  }

  function integrate(previous: RegisterState | null, m: Measurement): RegisterStep {
    const from = previous ?? { ...noMemory, timeS: m.timeS, importWh: 0, exportWh: 0 }
    const elapsedS = m.timeS - from.timeS
    const gap = elapsedS > settings.maxGapSeconds
    const countedS = gap || elapsedS < 0 ? 0 : elapsedS
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
      flags: status.integratedRegister | (gap ? status.substitute : 0),
      events: gap ? ['gap'] : [],
    }
  }

  function follow(
    previous: RegisterState | null,
    m: Measurement,
    rawImportWh: number,
    rawExportWh: number | null,
  ): RegisterStep {
    if (previous === null || previous.rawImportWh === null || m.replaced === true) {
      return begin(previous, rawImportWh, rawExportWh, m.replaced === true)
    }
    const imported = followOne('import', previous.importWh, previous.rawImportWh, rawImportWh)
    const exported =
      rawExportWh === null
        ? { sumWh: previous.exportWh, rawWh: previous.rawExportWh, event: null }
        : followOne('export', previous.exportWh, previous.rawExportWh ?? rawExportWh, rawExportWh)
    const events = [imported.event, exported.event].filter((event) => event !== null)
    return {
      importWh: imported.sumWh,
      exportWh: exported.sumWh,
      memory: { ...noMemory, rawImportWh: imported.rawWh, rawExportWh: exported.rawWh },
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
    const events: RegisterEvent[] = replaced ? ['replaced'] : previous === null ? [] : ['reset']
    return {
      importWh: previous?.importWh ?? rawImportWh,
      exportWh: previous?.exportWh ?? rawExportWh ?? 0,
      memory: { ...noMemory, rawImportWh, rawExportWh },
      flags: flagsOf(events),
      events,
    }
  }

  function followOne(
    which: 'import' | 'export',
    sumWh: number,
    beforeWh: number,
    nowWh: number,
  ): { sumWh: number; rawWh: number; event: RegisterEvent | null } {
    if (nowWh >= beforeWh) {
      suspects[which] = null
      return { sumWh: sumWh + (nowWh - beforeWh), rawWh: nowWh, event: null }
    }
    const rolled = rolledOver(beforeWh, nowWh)
    if (rolled !== null) return { sumWh: sumWh + rolled, rawWh: nowWh, event: 'rollover' }
    const suspect = doubt(suspects[which], nowWh)
    suspects[which] = suspect
    if (suspect.seen < CONFIRM_READINGS) return { sumWh, rawWh: beforeWh, event: 'held' }
    suspects[which] = null
    return { sumWh: sumWh + (nowWh - suspect.firstWh), rawWh: nowWh, event: 'reset' }
  }

  /** Energy across a roll-over, if going back is best explained by one. */
  function rolledOver(beforeWh: number, nowWh: number): number | null {
    const modulus = settings.rolloverWh
    if (modulus === null || nowWh === 0) return null
    const gained = modulus - beforeWh + nowWh
    return beforeWh <= modulus && gained < modulus / 10 ? gained : null
  }

  return { advance }
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

/** A counter showing 0 proves nothing (a restarting meter does that), so zeros never confirm. */
function doubt(suspect: Suspect | null, nowWh: number): Suspect {
  if (nowWh === 0) return suspect ?? { firstWh: 0, lastWh: 0, seen: 0 }
  if (suspect === null || nowWh < suspect.lastWh) return { firstWh: nowWh, lastWh: nowWh, seen: 1 }
  return { firstWh: suspect.firstWh, lastWh: nowWh, seen: suspect.seen + 1 }
}

function flagsOf(events: readonly RegisterEvent[]): number {
  let flags = 0
  for (const event of events) {
    if (event === 'held') flags |= status.substitute
    else if (event === 'replaced') flags |= status.meterReplaced
    else flags |= status.registerReset
  }
  return flags
}

function pick(state: RegisterState): RegisterMemory {
  const { importRestWs, exportRestWs, rawImportWh, rawExportWh } = state
  return { importRestWs, exportRestWs, rawImportWh, rawExportWh }
}
