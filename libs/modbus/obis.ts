/** IEC 62056-61: net power, registers, and the values of a phase, 20 apart. */
export const obis = {
  power: '1-0:16.7.0',
  importWh: '1-0:1.8.0',
  exportWh: '1-0:2.8.0',
  phasePower: (phase: 0 | 1 | 2) => `1-0:${36 + 20 * phase}.7.0`,
  voltage: (phase: 0 | 1 | 2) => `1-0:${32 + 20 * phase}.7.0`,
  current: (phase: 0 | 1 | 2) => `1-0:${31 + 20 * phase}.7.0`,
} as const

export const phases = [0, 1, 2] as const
