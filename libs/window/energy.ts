import { status, type Reading } from '#reading'
import type { EnergyReading } from './accumulator.ts'

/** What is remembered of one cumulative register between readings. */
export interface RegisterTrack {
  /** Energy up to here is counted, Wh; null before the first reading. */
  baseWh: number | null
  /** Lowest value of the readings that have just been below `baseWh`, and how many; null if none. */
  low: { valueWh: number; readings: number } | null
}

/** Both registers of one meter; plain data, to be kept with the meter's state. */
export interface EnergyTrack {
  import: RegisterTrack
  export: RegisterTrack
}

/** Something about a register that is no energy. The energy of that reading is 0. */
export interface EnergyEvent {
  code:
    /** Shows 0 after it showed more. */
    | 'register-zero'
    /** Shows less than before. */
    | 'register-backwards'
    /** Stayed low: taken as a new register from its first low value on. */
    | 'register-restarted'
    /** The meter announced a reset or rollover (status bit). */
    | 'register-reset'
    /** The meter announced its replacement (status bit). */
    | 'meter-replaced'
    /** Rose by more than a meter can count in one interval. */
    | 'register-jump'
  register: 'import' | 'export'
  number: number
  timeS: number
  fromWh: number
  toWh: number
}

/** Readings in a row below the last good value until a register is believed to have restarted. */
const BELIEVE_AFTER = 3

/**
 * More than this between two readings is no consumption: at 10 kW it takes a hundred hours. A
 * caller with larger meters or longer gaps passes its own.
 */
export const defaultMaxStepWh = 1_000_000

export function newEnergyTrack(): EnergyTrack {
  return { import: { baseWh: null, low: null }, export: { baseWh: null, low: null } }
}

/** What `energyOf` needs of a block. */
export interface EnergyBlock {
  readings: readonly Reading[]
  /** Registers after the previous block, as signed. */
  startImportWh: number
  startExportWh: number
  /** False when blocks are missing before this one: what they counted is then left out. */
  continuous: boolean
}

/**
 * Energy of each interval of a block, from register differences. A register that shows 0 or less
 * than before for a moment costs nothing: the last good value stays the reference until the
 * register returns to it or stays low for three readings. Nothing negative, no spikes; what was
 * left out is in `events`. Pure: the new track is returned.
 */
export function energyOf(
  track: EnergyTrack,
  block: EnergyBlock,
  maxStepWh = defaultMaxStepWh,
): { readings: EnergyReading[]; events: EnergyEvent[]; track: EnergyTrack } {
  let importTrack = startTrack(track.import, block.startImportWh, block.continuous)
  let exportTrack = startTrack(track.export, block.startExportWh, block.continuous)
  const events: EnergyEvent[] = []
  const readings = block.readings.map((reading): EnergyReading => {
    const imported = step(importTrack, reading, 'import', maxStepWh)
    const exported = step(exportTrack, reading, 'export', maxStepWh)
    importTrack = imported.track
    exportTrack = exported.track
    if (imported.event !== null) events.push(imported.event)
    if (exported.event !== null) events.push(exported.event)
    const { timeS, powerW, voltageDv, status: word } = reading
    const { energyWh: importWh } = imported
    return { timeS, powerW, voltageDv, importWh, exportWh: exported.energyWh, status: word }
  })
  return { readings, events, track: { import: importTrack, export: exportTrack } }
}

/**
 * The track a block starts from. After missing blocks the signed start register is the reference,
 * unless more was counted before: then it restarted in between and has to be believed first.
 */
function startTrack(track: RegisterTrack, startWh: number, continuous: boolean): RegisterTrack {
  if (track.baseWh === null) return { baseWh: startWh, low: null }
  if (continuous || startWh <= track.baseWh) return track
  return { baseWh: startWh, low: null }
}

interface Step {
  track: RegisterTrack
  energyWh: number
  event: EnergyEvent | null
}

function step(
  track: RegisterTrack,
  reading: Reading,
  register: 'import' | 'export',
  maxStepWh: number,
): Step {
  const toWh = register === 'import' ? reading.importWh : reading.exportWh
  const baseWh = track.baseWh ?? toWh
  const good = { baseWh: toWh, low: null }
  const eventOf = (code: EnergyEvent['code']): EnergyEvent => {
    return { code, register, number: reading.number, timeS: reading.timeS, fromWh: baseWh, toWh }
  }
  const announced = announcedBy(reading.status)
  if (announced !== null) {
    return { track: good, energyWh: 0, event: toWh === baseWh ? null : eventOf(announced) }
  }
  if (toWh - baseWh > maxStepWh)
    return { track: good, energyWh: 0, event: eventOf('register-jump') }
  if (toWh >= baseWh) return { track: good, energyWh: toWh - baseWh, event: null }
  const { low } = track
  if (low === null || toWh < low.valueWh) {
    const event = eventOf(toWh === 0 ? 'register-zero' : 'register-backwards')
    return { track: { baseWh, low: { valueWh: toWh, readings: 1 } }, energyWh: 0, event }
  }
  if (low.readings + 1 < BELIEVE_AFTER) {
    const longer = { valueWh: low.valueWh, readings: low.readings + 1 }
    return { track: { baseWh, low: longer }, energyWh: 0, event: null }
  }
  // Believed: what the new register counted since it was first seen is real energy, unless even
  // that is more than a meter can count.
  const sinceLowWh = toWh - low.valueWh
  const energyWh = sinceLowWh <= maxStepWh ? sinceLowWh : 0
  return { track: good, energyWh, event: eventOf('register-restarted') }
}

function announcedBy(word: number): 'meter-replaced' | 'register-reset' | null {
  if ((word & status.meterReplaced) !== 0) return 'meter-replaced'
  return (word & status.registerReset) !== 0 ? 'register-reset' : null
}
