/** Meters of homes: what they would send, made ahead so that making it costs nothing later. */
import type { Identity } from '#channel'
import { nativeCrypto } from '#crypto-native'
import { homeOf, integrate, registersAt, simulate, type MinuteSample } from '#household'
import { encodeUp } from '#messages'
import { buildBlock, encodeBlock, encodeLive, firstChain, type Block, type Reading } from '#reading'

/**
 * `each`: every reading a signed report of its own; `live`: each reading at once, and a signature
 * over every 16; `block`: signed reports of 16.
 */
export type Mode = 'each' | 'live' | 'block'

export const modes: readonly Mode[] = ['each', 'live', 'block']
export const blockReadings = (mode: Mode): number => (mode === 'each' ? 1 : 16)

/** One message ready to seal. */
export interface Message {
  payload: Uint8Array
  /** The number its receipt will name; 0 for messages without one. */
  last: number
}

/** What a home draws in a minute. */
export type HomeSample = Pick<MinuteSample, 'powerW' | 'voltageDv' | 'currentMa'>

/** As many homes of a hundred have these as in the README's fleet. */
const shares = { solarPercent: 30, heatPumpPercent: 20, carPercent: 20 }
const MINUTES = 1_440

/** A day of this home of a fleet, as `kind = "sim"` makes them. */
export function homeDay(house: number): HomeSample[] {
  const home = homeOf(house + 1, 6_000, shares)
  const day: HomeSample[] = []
  for (const sample of simulate(house + 1, { startS: startOfDay(), weatherSeed: 1, ...home })) {
    const { powerW, voltageDv, currentMa } = sample
    day.push({ powerW, voltageDv, currentMa })
    if (day.length === MINUTES) break
  }
  return day
}

function startOfDay(): number {
  return Math.floor(Date.now() / 86_400_000) * 86_400 - 86_400
}

/** Readings of one house, `intervalS` apart, with the powers and voltages of `samples` in turn. */
export class MeterSource {
  readonly own: Identity
  readonly #samples: readonly HomeSample[]
  readonly #intervalS: number
  #at = 0
  #previous: Reading | null = null
  #liveBase: Reading | null = null
  #number: number
  #timeS: number
  #registers
  #chain: Uint8Array

  constructor(
    own: Identity,
    samples: readonly HomeSample[],
    options: { house: number; intervalS: number; firstNumber?: number; importWh?: number },
  ) {
    this.own = own
    this.#samples = samples
    this.#intervalS = options.intervalS
    this.#number = options.firstNumber ?? 1
    this.#registers = registersAt(options.importWh ?? 1_000_000 + 1_234 * options.house, 0)
    this.#timeS = startOfDay()
    this.#chain = firstChain(nativeCrypto, own.credential.deviceId)
  }

  reading(): Reading {
    const sample = this.#samples[this.#at++ % this.#samples.length]
    if (sample === undefined) throw new Error('a day without samples')
    const { powerW, voltageDv, currentMa } = sample
    this.#timeS += this.#intervalS
    this.#registers = integrate(this.#registers, powerW, this.#intervalS)
    const { importWh, exportWh } = this.#registers
    const number = this.#number++
    return {
      number,
      timeS: this.#timeS,
      powerW,
      voltageDv,
      currentMa,
      importWh,
      exportWh,
      status: 0,
    }
  }

  /** The next signed block, and the messages that carry it. */
  block(mode: Mode): { block: Block; messages: Message[] } {
    const readings = Array.from({ length: blockReadings(mode) }, () => this.reading())
    const before = this.#previous
    const block = buildBlock(nativeCrypto, this.own.key, {
      deviceId: this.own.credential.deviceId,
      previousChain: this.#chain,
      startImportWh: before?.importWh ?? null,
      startExportWh: before?.exportWh ?? null,
      readings,
    })
    this.#chain = block.statement.chain
    this.#previous = readings.at(-1) ?? before
    const { first, last } = block.statement
    if (mode !== 'live') {
      this.#liveBase = null // the fog's base is older now: the next live reading goes in full
      const payload = encodeUp({ type: 'report', body: encodeBlock(block) })
      return { block, messages: [{ payload, last }] }
    }
    const { signature } = block
    const signed = encodeUp({ type: 'block', first, last, skipped: [], signature })
    const live = liveMessages(this.#liveBase, readings)
    this.#liveBase = this.#previous
    return { block, messages: [...live, { payload: signed, last }] }
  }
}

function liveMessages(before: Reading | null, readings: readonly Reading[]): Message[] {
  let previous = before
  return readings.map((reading) => {
    const payload =
      previous === null
        ? encodeUp({ type: 'reading', reading })
        : encodeUp({ type: 'live', values: encodeLive(previous, reading) })
    previous = reading
    return { payload, last: 0 }
  })
}
