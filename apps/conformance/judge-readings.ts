import { toHex } from '#bytes'
import { encodeUp } from '#messages'
import { decodeLive, encodeReading, status, timeQualityOf, type Reading } from '#reading'
import type { Verdicts } from './verdicts.ts'

/** Judges readings, live and signed: those of one meter over the whole run. */
export class ReadingJudge {
  readonly #verdicts: Verdicts
  /** Every reading seen, by its number. */
  readonly #byNumber = new Map<number, Reading>()
  /** The base of the next live reading of this session. */
  #base: Reading | null = null
  /** Live readings of this session that no block has signed yet. */
  #live: Reading[] = []
  /** A difference could not be used: those after it mean nothing either. */
  #lost = false
  #highest = 0
  #timeQuality: number | null = null

  constructor(verdicts: Verdicts) {
    this.#verdicts = verdicts
  }

  /** Highest number seen. */
  get highest(): number {
    return this.#highest
  }

  /** Of the newest: 0 synchronised, 1 estimated, 2 unknown; null before the first. */
  get timeQuality(): number | null {
    return this.#timeQuality
  }

  /** A session begins, or live mode starts over: what was sent before is no base any more. */
  restart(): void {
    this.#base = null
    this.#live = []
    this.#lost = false
  }

  full(reading: Reading): void {
    this.#verdicts.pass('reading/live')
    this.#lost = false
    this.#take(reading)
  }

  /** False when it cannot be used: the meter should start over. */
  delta(values: readonly (number | null)[]): boolean {
    const message = () => toHex(encodeUp({ type: 'live', values: [...values] }))
    if (this.#lost) return false
    if (this.#base === null) {
      this.#lost = true
      this.#verdicts.fail('reading/live', {
        expected: 'a reading in full (type 5) first',
        came: message(),
      })
      return false
    }
    try {
      const reading = decodeLive(this.#base, values)
      this.#verdicts.pass('reading/live')
      this.#take(reading)
      return true
    } catch (error) {
      this.#lost = true
      const why = error instanceof Error ? error.message : String(error)
      const base = toHex(encodeReading(this.#base))
      this.#verdicts.fail('reading/live', {
        expected: `canonical differences to reading ${base}`,
        came: `${why}: ${message()}`,
      })
      return false
    }
  }

  /** The live readings from `first` to `last`, in order. */
  live(first: number, last: number): Reading[] {
    return this.#live.filter(({ number }) => number >= first && number <= last)
  }

  /** Readings that came under a signature. */
  signed(readings: readonly Reading[]): void {
    for (const reading of readings) this.#judge(reading)
    const last = readings.at(-1)?.number ?? 0
    this.#live = this.#live.filter(({ number }) => number > last)
  }

  #take(reading: Reading): void {
    this.#base = reading
    this.#live = [...this.#live.filter(({ number }) => number < reading.number), reading]
    this.#judge(reading)
  }

  #judge(reading: Reading): void {
    const before = this.#byNumber.get(reading.number)
    const bytes = toHex(encodeReading(reading))
    this.#verdicts.judge(
      'reading/one-number',
      before === undefined || toHex(encodeReading(before)) === bytes,
      () => ({
        expected: `reading ${reading.number} as before: ${before && toHex(encodeReading(before))}`,
        came: bytes,
      }),
    )
    if (before !== undefined) return
    this.#byNumber.set(reading.number, reading)
    this.#timeQuality = timeQualityOf(reading.status)
    this.#registers(reading)
    this.#highest = Math.max(this.#highest, reading.number)
  }

  #registers(reading: Reading): void {
    const previous = this.#byNumber.get(reading.number - 1)
    if (previous === undefined) return
    const excused = (reading.status & (status.registerReset | status.meterReplaced)) !== 0
    const rises = reading.importWh >= previous.importWh && reading.exportWh >= previous.exportWh
    this.#verdicts.judge('reading/registers', excused || rises, () => ({
      expected: `at least ${previous.importWh} and ${previous.exportWh} Wh, or status bit 4 or 5`,
      came: `${reading.importWh} and ${reading.exportWh} Wh in ${toHex(encodeReading(reading))}`,
    }))
  }
}
