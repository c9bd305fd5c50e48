import { status, type Reading } from '#reading'
import type { EnergyReading } from './accumulator.ts'

/** What is remembered of one cumulative register between readings. */
export interface RegisterTrack {
  /** Energy up to here is counted, Wh; null before the first reading. */
  baseWh: number | null
  /** Lowest value of the readings that have just been below `baseWh`, and how many; null if none. */
  low: { valueWh: number; readings: number } | null
  /**
   * Where it was before a lower value was believed, that value, and what has been counted since; null
   * if it never was. Should it jump back, that is not the whole register again.
   */
  left: { fromWh: number; toWh: number; countedWh: number } | null
}

/** Both registers of one meter; plain data, to be kept with the meter's state. */
export interface EnergyTrack {
  import: RegisterTrack
  export: RegisterTrack
}

/** Something about a register beside its energy; `fromWh` is the value it is compared with. */
export interface EnergyEvent {
  code:
    /** Shows 0 after it showed more. */
    | 'register-zero'
    /** Shows less than before. */
    | 'register-backwards'
    /** Stayed low: taken as a new register from its first low value on. */
    | 'register-restarted'
    /** Jumped back to where it was before that. */
    | 'register-returned'
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
  return {
    import: { baseWh: null, low: null, left: null },
    export: { baseWh: null, low: null, left: null },
  }
}

/** A reading with its interval's energy, still under its meter's number. */
export interface IntervalReading extends EnergyReading {
  number: number
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
): { readings: IntervalReading[]; events: EnergyEvent[]; track: EnergyTrack } {
  let importTrack = startTrack(track.import, block.startImportWh, block.continuous)
  let exportTrack = startTrack(track.export, block.startExportWh, block.continuous)
  const events: EnergyEvent[] = []
  const readings = block.readings.map((reading): IntervalReading => {
    const imported = step(importTrack, reading, 'import', maxStepWh)
    const exported = step(exportTrack, reading, 'export', maxStepWh)
    importTrack = imported.track
    exportTrack = exported.track
    if (imported.event !== null) events.push(imported.event)
    if (exported.event !== null) events.push(exported.event)
    const { number, timeS, powerW, voltageDv, status: word } = reading
    const { energyWh: importWh } = imported
    return { number, timeS, powerW, voltageDv, importWh, exportWh: exported.energyWh, status: word }
  })
  return { readings, events, track: { import: importTrack, export: exportTrack } }
}

/**
 * The track a block starts from. After missing blocks the signed start register is the reference,
 * unless more was counted before: then it restarted in between and has to be believed first.
 */
function startTrack(track: RegisterTrack, startWh: number, continuous: boolean): RegisterTrack {
  if (track.baseWh === null) return { baseWh: startWh, low: null, left: null }
  if (continuous || startWh <= track.baseWh) return track
  return { baseWh: startWh, low: null, left: null }
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
  const eventOf = (code: EnergyEvent['code']): EnergyEvent => {
    return { code, register, number: reading.number, timeS: reading.timeS, fromWh: baseWh, toWh }
  }
  const fresh: RegisterTrack = { baseWh: toWh, low: null, left: null }
  const announced = announcedBy(reading.status)
  const goesOn = (reading.status & status.registerContinued) !== 0 && toWh >= baseWh
  if (announced !== null && !goesOn) {
    const event = register === 'import' || toWh !== baseWh ? eventOf(announced) : null
    return { track: fresh, energyWh: 0, event }
  }
  if (toWh < baseWh) return lower(track, baseWh, toWh, maxStepWh, eventOf)
  if (toWh - baseWh > maxStepWh) {
    return { track: fresh, energyWh: 0, event: eventOf('register-jump') }
  }
  const back = returned(track, baseWh, toWh)
  if (back !== null) return { track: fresh, energyWh: back, event: eventOf('register-returned') }
  const energyWh = toWh - baseWh
  const event = announced !== null && register === 'import' ? eventOf(announced) : null
  return { track: { ...fresh, left: leftAfter(track.left, toWh, energyWh) }, energyWh, event }
}

/** The register shows less than before: no energy, until it has stayed low for long enough. */
function lower(
  track: RegisterTrack,
  baseWh: number,
  toWh: number,
  maxStepWh: number,
  eventOf: (code: EnergyEvent['code']) => EnergyEvent,
): Step {
  const { low, left } = track
  if (low === null || toWh < low.valueWh) {
    const event = eventOf(toWh === 0 ? 'register-zero' : 'register-backwards')
    return { track: { baseWh, low: { valueWh: toWh, readings: 1 }, left }, energyWh: 0, event }
  }
  if (low.readings + 1 < BELIEVE_AFTER) {
    const longer = { valueWh: low.valueWh, readings: low.readings + 1 }
    return { track: { baseWh, low: longer, left }, energyWh: 0, event: null }
  }
  // Believed: what the new register counted since it was first seen is real energy, unless even
  // that is more than a meter can count.
  const sinceLowWh = toWh - low.valueWh
  const energyWh = sinceLowWh <= maxStepWh ? sinceLowWh : 0
  const leaves = { fromWh: baseWh, toWh: low.valueWh, countedWh: energyWh }
  const event = eventOf('register-restarted')
  return { track: { baseWh: toWh, low: null, left: leaves }, energyWh, event }
}

/**
 * Energy not counted yet when a register jumps back to where it was before a lower value was
 * believed: half of the fall or more undone in one step. Null when it just goes on.
 */
function returned({ left }: RegisterTrack, baseWh: number, toWh: number): number | null {
  if (left === null || baseWh >= left.fromWh || toWh < left.fromWh) return null
  if (2 * (toWh - baseWh) < left.fromWh - left.toWh) return null
  return Math.max(0, toWh - left.fromWh - left.countedWh)
}

function leftAfter(
  left: RegisterTrack['left'],
  toWh: number,
  energyWh: number,
): RegisterTrack['left'] {
  if (left === null || toWh >= left.fromWh) return null
  return energyWh === 0 ? left : { ...left, countedWh: left.countedWh + energyWh }
}

function announcedBy(word: number): 'meter-replaced' | 'register-reset' | null {
  if ((word & status.meterReplaced) !== 0) return 'meter-replaced'
  return (word & status.registerReset) !== 0 ? 'register-reset' : null
}
