import type { Exact } from '#telegram'

/** Types of numbers, and how many registers of 16 bits each takes. `acc32` counts up (SunSpec). */
export const numberSizes = {
  int16: 1,
  uint16: 1,
  int32: 2,
  uint32: 2,
  int64: 4,
  uint64: 4,
  float32: 2,
  acc32: 2,
} as const

export type NumberType = keyof typeof numberSizes

/** SunSpec's range of scale factors; what is beyond is none. */
const MAX_SCALE = 10
/** Below this a float is nothing in any unit, and its decimals would have no end. */
const SMALLEST = 1e-9
/** So many digits name every float of 32 bits. */
const FLOAT_DIGITS = 9

/**
 * The number in `words`, most significant first, exactly. Null when it is the one that stands for
 * "not implemented": the lowest of a signed type, the highest of an unsigned one (SunSpec Device
 * Information Model §"Data types", and usual elsewhere), no number or infinite of a float.
 */
export function numberFrom(words: readonly number[], type: NumberType): Exact | null {
  const bits = words.length * 16
  const raw = words.reduce((value, word) => (value << 16n) | BigInt(word), 0n)
  if (type === 'float32') return floatFrom(Number(raw))
  // An accumulator reaches its last value before it starts again; 0 is for the caller to judge.
  if (type === 'acc32') return { mantissa: raw, exponent: 0 }
  if (type.startsWith('u')) {
    return raw === (1n << BigInt(bits)) - 1n ? null : { mantissa: raw, exponent: 0 }
  }
  const mantissa = BigInt.asIntN(bits, raw)
  return mantissa === -(1n << BigInt(bits - 1)) ? null : { mantissa, exponent: 0 }
}

/** The power of ten in a scale register (`sunssf`), null when it is not implemented or none. */
export function scaleFrom(word: number): number | null {
  const scale = numberFrom([word], 'int16')
  if (scale === null) return null
  const exponent = Number(scale.mantissa)
  return Math.abs(exponent) <= MAX_SCALE ? exponent : null
}

/**
 * The shortest decimal that is this float: what the meter showed before it became one. A float has
 * 24 bits, so a register in kWh is coarser than a Wh from 16 384 kWh on, and than 0.01 kWh from
 * 131 072 kWh on. Larger floats give larger decimals, so a register never goes back by this.
 */
function floatFrom(bits: number): Exact | null {
  const view = new DataView(new ArrayBuffer(4))
  view.setUint32(0, bits)
  const value = view.getFloat32(0)
  if (!Number.isFinite(value)) return null
  if (Math.abs(value) < SMALLEST) return { mantissa: 0n, exponent: 0 }
  for (let digits = 1; ; digits++) {
    const text = value.toExponential(digits - 1)
    if (digits === FLOAT_DIGITS || Math.fround(Number(text)) === value) return exactly(text)
  }
}

/** `-1.25e+3` is −125 × 10^1. */
function exactly(text: string): Exact {
  const [number = '', power] = text.split('e')
  const [whole = '', fraction = ''] = number.split('.')
  return { mantissa: BigInt(whole + fraction), exponent: Number(power) - fraction.length }
}
