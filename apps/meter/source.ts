import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { MeterConfig } from '#config'
import { CodedError } from '#errors'
import {
  arrivalDelayS,
  homeOf,
  loadExcerpt,
  parseJsonLine,
  readCsv,
  simulate,
  type SourceReading,
} from '#household'
import type { Measurement } from '#meter'
import type { Clock } from '#ports'
import { timeQuality as timeQualities } from '#reading'
import { replayHousehold } from './replay.ts'
import type { TimeSense } from './clock.ts'
import { fromBroker } from './mqtt-source.ts'
import type { PortLog } from './port-report.ts'
import { fromPort, type PortSourceOptions } from './port-source.ts'
import type { Timeline } from './timeline.ts'
import { isWired } from './wired.ts'

/** What a source needs to know about the meter it feeds. */
export interface SourceOptions {
  config: MeterConfig['source']
  /** 0 for the first meter of a fleet. */
  index: number
  clock: Clock
  time: TimeSense
  /** For `sim` and `replay`; one timeline serves a whole fleet. */
  timeline: Timeline | null
  /** Time of the newest reading stored, 0 before the first: a file goes on after it. */
  newestTimeS: number
  input: Readable
  signal: AbortSignal
  /** A line of a pipe that could not be used. */
  onBadLine: (error: CodedError) => void
  /** For sources that listen to somebody. */
  log: PortLog
  /** For `p1`, `sml` and `modbus`: what else a meter's wire needs. */
  port: Pick<PortSourceOptions, 'remembered' | 'remember' | 'record'> | null
}

/** Measurements, each at the moment it is due; ends when the source does or `signal` aborts. */
export function openSource(options: SourceOptions): AsyncGenerator<Measurement, void> {
  const { config } = options
  if (config.kind === 'stdin') return fromLines(options)
  if (config.kind === 'csv') return fromCsv(options, config)
  if (isWired(config)) {
    if (options.port === null) throw new CodedError('meter/no-port', 'a port needs a memory')
    return fromPort({ ...options, ...options.port, source: config })
  }
  if (config.kind === 'mqtt') return fromBroker({ ...options, source: config })
  return fromModel(options, config)
}

async function* fromModel(
  options: SourceOptions,
  config: MeterConfig['source'] & { kind: 'sim' | 'replay' },
): AsyncGenerator<Measurement, void> {
  const { timeline, signal, time } = options
  if (timeline === null) throw new CodedError('meter/no-timeline', 'a model needs a timeline')
  const model = await householdModel(options, config, timeline.anchorS)
  const beganS = timeline.nowS()
  // A timeline that began on a clock nobody set does not become right when the clock does.
  const timeQuality = time.known() ? timeQualities.synchronised : timeQualities.unknown
  for (const measurement of model) {
    // What the household did while this program was down has only moved its registers.
    if (measurement === null || measurement.timeS < beganS) continue
    const { timeS } = measurement
    const lateS = arrivalDelayS(options.index, timeS, config.jitterSeconds)
    if (!(await waited(timeline.msUntil(timeS + lateS), signal))) return
    yield { ...measurement, timeQuality }
  }
}

async function householdModel(
  { index }: SourceOptions,
  config: MeterConfig['source'] & { kind: 'sim' | 'replay' },
  startS: number,
): Promise<Iterable<Measurement | null>> {
  const { intervalSeconds } = config
  if (config.kind === 'replay') {
    const days = await loadExcerpt()
    return replayHousehold(days, { house: config.house + index, startS, intervalSeconds })
  }
  const { seed, latitude, solarPeakW } = config
  const home = homeOf(seed + index, solarPeakW, config)
  const place = { latitudeDeg: latitude, weatherSeed: seed }
  return simulated(seed + index, { startS, stepS: intervalSeconds, ...place, ...home })
}

function* simulated(...model: Parameters<typeof simulate>): Generator<Measurement, void> {
  for (const sample of simulate(...model)) {
    const { timeS, powerW, voltageDv, currentMa, importWh, exportWh } = sample
    yield { timeS, powerW, voltageDv, currentMa, importWh, exportWh }
  }
}

async function* fromCsv(
  options: SourceOptions,
  config: MeterConfig['source'] & { kind: 'csv' },
): AsyncGenerator<Measurement, void> {
  const { clock, signal, newestTimeS } = options
  let paced: { timeS: number; atMs: number } | null = null
  for await (const row of rowsOf(config)) {
    if (row.timeS <= newestTimeS) continue
    paced ??= { timeS: row.timeS, atMs: clock.monotonic() }
    const dueMs = paced.atMs + ((row.timeS - paced.timeS) / config.timeScale) * 1_000
    if (!(await waited(dueMs - clock.monotonic(), signal))) return
    yield row
  }
}

/** All rows, again and again if asked, each round right after the one before. */
async function* rowsOf(
  config: MeterConfig['source'] & { kind: 'csv' },
): AsyncGenerator<Measurement, void> {
  let shiftS = 0
  for (;;) {
    let firstS: number | null = null
    let lastS = 0
    for await (const row of readCsv(config.file)) {
      if (row.timeS === null) continue
      firstS ??= row.timeS
      lastS = row.timeS
      yield { ...measured(row), timeS: row.timeS + shiftS }
    }
    if (!config.loop || firstS === null) return
    shiftS += lastS - firstS + config.intervalSeconds
  }
}

async function* fromLines(options: SourceOptions): AsyncGenerator<Measurement, void> {
  const { input, signal, onBadLine } = options
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY, signal })
  let lineNumber = 0
  for await (const line of lines) {
    lineNumber += 1
    try {
      const row = parseJsonLine(line, lineNumber)
      if (row === null) continue
      yield { ...measured(row), ...timeOf(row, options) }
    } catch (error) {
      if (!(error instanceof CodedError)) throw error
      onBadLine(error)
    }
  }
}

/**
 * A line without a time is of now; a clock that was never set does not know when that is. A line with
 * a time may say itself how far to trust it.
 */
function timeOf(
  { timeS, timeQuality = timeQualities.synchronised }: SourceReading,
  { clock, time }: Pick<SourceOptions, 'clock' | 'time'>,
): Pick<Measurement, 'timeS' | 'timeQuality' | 'ageS'> {
  if (timeS !== null) return { timeS, timeQuality }
  const now = { timeS: Math.max(0, Math.floor(clock.now() / 1_000)), ageS: time.boot.ageS() }
  return { ...now, timeQuality: time.known() ? timeQuality : timeQualities.unknown }
}

function measured(row: SourceReading): Omit<Measurement, 'timeS'> {
  const { powerW, voltageDv, currentMa, importWh, exportWh, replaced } = row
  const rest = replaced === undefined ? {} : { replaced }
  return { powerW, voltageDv, currentMa, importWh, exportWh, ...rest }
}

/** False when `signal` ended the wait. */
async function waited(ms: number, signal: AbortSignal): Promise<boolean> {
  if (signal.aborted) return false
  if (ms <= 0) return true
  try {
    await delay(ms, undefined, { signal })
    return true
  } catch {
    return false
  }
}
