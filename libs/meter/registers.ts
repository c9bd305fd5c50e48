import { status } from '#reading'
import { createOneRegister, type After, type Left, type RegisterSettings } from './one-register.ts'
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

const SECONDS_PER_HOUR = 3_600
const noMemory: RegisterMemory = {
  importRestWs: 0,
  exportRestWs: 0,
  rawImportWh: null,
  rawExportWh: null,
  importLeft: null,
  exportLeft: null,
}

/**
 * Continues a meter's cumulative registers so that they never go back: from the physical registers
 * when there are some, else by integrating power exactly. The doubt about a register that jumped is
 * kept in memory only; a restart merely starts counting its confirmations again.
 */
export function createRegisters(settings: RegisterSettings) {
  const imports = createOneRegister(settings)
  const exports = createOneRegister(settings)

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
    if (measured !== null) return follow(previous, m, measured, m.exportWh ?? null, elapsedS)
    if (previous !== null && previous.rawImportWh !== null) {
      imports.wait(elapsedS)
      exports.wait(elapsedS)
      return hold(previous)
    }
    const step = integrate(previous, m, elapsedS)
    const delivers = (m.exportWh ?? previous?.rawExportWh ?? null) !== null
    return delivers ? withExport(step, previous, m, elapsedS) : step
  }

  /** A meter that counts only what is delivered: import is integrated all the same. */
  function withExport(
    step: RegisterStep,
    previous: RegisterState | null,
    m: Measurement,
    elapsedS: number | null,
  ): RegisterStep {
    const after = exportAfter(previous, m, elapsedS)
    const events = after.event === null ? [] : [after.event]
    return {
      ...step,
      exportWh: after.sumWh,
      memory: {
        ...step.memory,
        exportRestWs: 0,
        rawExportWh: after.rawWh,
        exportLeft: after.left,
      },
      flags: step.flags | flagsOf(events),
      events: [...step.events, ...events],
    }
  }

  function exportAfter(
    previous: RegisterState | null,
    { exportWh, replaced = false }: Measurement,
    elapsedS: number | null,
  ): Omit<After, 'rawWh'> & { rawWh: number | null } {
    const nowWh = exportWh ?? null
    const rawWh = previous?.rawExportWh ?? null
    if (previous !== null && nowWh === null) {
      exports.wait(elapsedS)
      return { sumWh: previous.exportWh, rawWh, left: previous.exportLeft, event: 'held' }
    }
    if (previous !== null && nowWh !== null && rawWh !== null && !replaced) {
      const before = { sumWh: previous.exportWh, rawWh, left: previous.exportLeft }
      return exports.follow(before, nowWh, elapsedS)
    }
    exports.begin()
    const event = previous === null ? null : replaced ? 'replaced' : 'reset'
    return { sumWh: previous?.exportWh ?? nowWh ?? 0, rawWh: nowWh, left: null, event }
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
    const imported = imports.follow(before.import, rawImportWh, elapsedS)
    if (rawExportWh === null) exports.wait(elapsedS)
    const exported =
      rawExportWh === null
        ? { ...before.export, rawWh: previous.rawExportWh, event: null }
        : exports.follow(before.export, rawExportWh, elapsedS)
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
    imports.begin()
    exports.begin()
    const events: RegisterEvent[] = replaced ? ['replaced'] : previous === null ? [] : ['reset']
    return {
      importWh: previous?.importWh ?? rawImportWh,
      exportWh: previous?.exportWh ?? rawExportWh ?? 0,
      memory: { ...noMemory, rawImportWh, rawExportWh },
      flags: flagsOf(events),
      events,
    }
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
