import { integrate, registersAt, type ExcerptDay, type MinuteSample } from '#household'
import type { Measurement } from '#meter'
import { status } from '#reading'

const MINUTE_S = 60
const DAY_S = 86_400

/**
 * An endless household made of real days: house h lives day h + d of the excerpt on its day d, at
 * the same time of day (UTC). Its registers integrate exactly the power it reports, from `startS` on,
 * and say so in the status. An interval the source has no minute for yields nothing.
 */
export function* replayHousehold(
  days: readonly ExcerptDay[],
  options: { house: number; startS: number; intervalSeconds: number },
): Generator<Measurement | null, never> {
  const { house, startS, intervalSeconds } = options
  const firstDay = Math.floor(startS / DAY_S)
  let registers = registersAt()
  let cached = { day: -1, minutes: new Map<number, MinuteSample>() }

  function minuteAt(timeS: number): MinuteSample | undefined {
    const day = Math.floor(timeS / DAY_S)
    if (cached.day !== day) {
      const samples = days[(house + day - firstDay) % days.length]?.samples ?? []
      cached = { day, minutes: new Map(samples.map((sample) => [sample.minute, sample])) }
    }
    return cached.minutes.get(Math.floor((timeS % DAY_S) / MINUTE_S))
  }

  for (let endS = startS + intervalSeconds; ; endS += intervalSeconds) {
    const samples = minuteStarts(endS - intervalSeconds, endS)
      .map(minuteAt)
      .filter((sample) => sample !== undefined)
    const last = samples.at(-1)
    if (last === undefined) {
      yield null
      continue
    }
    const totalW = samples.reduce((sum, sample) => sum + sample.powerW, 0)
    const powerW = Math.round(totalW / samples.length) + 0
    registers = integrate(registers, powerW, intervalSeconds)
    const { voltageDv, currentMa } = last
    const { importWh, exportWh } = registers
    const flags = status.integratedRegister
    yield { timeS: endS, powerW, voltageDv, currentMa, importWh, exportWh, status: flags }
  }
}

/** The minutes that begin in an interval, or the one it lies in when none does. */
function minuteStarts(fromS: number, toS: number): number[] {
  const starts: number[] = []
  for (let s = Math.ceil(fromS / MINUTE_S) * MINUTE_S; s < toS; s += MINUTE_S) starts.push(s)
  return starts.length === 0 ? [fromS] : starts
}
