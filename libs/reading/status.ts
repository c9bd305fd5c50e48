import { CodedError } from '#errors'

/** Bits 0–1 of the status word: how far `timeS` can be trusted. The value 3 is reserved. */
export const timeQuality = { synchronised: 0, estimated: 1, unknown: 2 } as const

/** The bits of the status word above the time quality. */
export const status = {
  timeQualityMask: 0b11,
  /** The values stand in for a measurement that was not made. */
  substitute: 1 << 2,
  /** The publisher integrates power into the registers; they are not a meter's own count. */
  integratedRegister: 1 << 3,
  /** A register was reset or rolled over at this reading. */
  registerReset: 1 << 4,
  /** The meter behind this publisher was replaced at this reading. */
  meterReplaced: 1 << 5,
  tamper: 1 << 6,
  powerFail: 1 << 7,
  /** The meter's clock was set between the reading before and this one. */
  clockStep: 1 << 8,
  /**
   * Beside `registerReset` or `meterReplaced`: the signed registers go on across it, so that their
   * difference is energy. Without it they start somewhere else, and the difference means nothing.
   */
  registerContinued: 1 << 9,
} as const

const MAX_STATUS = 0xffff

const FLAG_NAMES: readonly (readonly [number, string])[] = [
  [status.substitute, 'substitute'],
  [status.integratedRegister, 'integrated-register'],
  [status.registerReset, 'register-reset'],
  [status.meterReplaced, 'meter-replaced'],
  [status.tamper, 'tamper'],
  [status.powerFail, 'power-fail'],
  [status.clockStep, 'clock-step'],
  [status.registerContinued, 'register-continued'],
]

/** 0 synchronised, 1 estimated, 2 unknown. */
export function timeQualityOf(word: number): number {
  return word & status.timeQualityMask
}

/** The worse time quality and all flags of both. */
export function mergeStatus(a: number, b: number): number {
  const quality = Math.max(timeQualityOf(a), timeQualityOf(b))
  return ((a | b) & ~status.timeQualityMask) | quality
}

/** Names for people, e.g. `['time-estimated', 'tamper']`; unknown bits appear as `bit-9`. */
export function statusNames(word: number): string[] {
  const names: string[] = []
  if (timeQualityOf(word) === timeQuality.estimated) names.push('time-estimated')
  if (timeQualityOf(word) === timeQuality.unknown) names.push('time-unknown')
  for (const [bit, name] of FLAG_NAMES) if ((word & bit) !== 0) names.push(name)
  for (let bit = 10; bit < 16; bit++) if ((word & (1 << bit)) !== 0) names.push(`bit-${bit}`)
  return names
}

/** Throws `reading/bad-value` unless `word` is a 16-bit status with a defined time quality. */
export function checkStatus(word: number): number {
  if (!Number.isInteger(word) || word < 0 || word > MAX_STATUS || timeQualityOf(word) === 3) {
    throw new CodedError('reading/bad-value', `status ${String(word)} is not a valid status word`)
  }
  return word
}
