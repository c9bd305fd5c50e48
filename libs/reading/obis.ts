import type { Reading } from './reading.ts'

/**
 * The names meters and their owners use: OBIS codes (IEC 62056-61) of the fields, for the edges.
 * Inside, a field has our name and an integer unit; `scale` turns it into the unit shown.
 */
export const obis = {
  powerW: { code: '1-0:16.7.0', name: 'active power (import − export)', unit: 'W', scale: 1 },
  voltageDv: { code: '1-0:32.7.0', name: 'voltage L1', unit: 'V', scale: 0.1 },
  currentMa: { code: '1-0:31.7.0', name: 'current L1', unit: 'A', scale: 0.001 },
  importWh: { code: '1-0:1.8.0', name: 'import register', unit: 'kWh', scale: 0.001 },
  exportWh: { code: '1-0:2.8.0', name: 'export register', unit: 'kWh', scale: 0.001 },
} as const satisfies Partial<
  Record<keyof Reading, { code: string; name: string; unit: string; scale: number }>
>

/** Our field for an OBIS code, whatever its channel group, or null when it is none of ours. */
export function fieldOfObis(code: string): keyof typeof obis | null {
  for (const [field, entry] of Object.entries(obis)) {
    if (entry.code === code) return field as keyof typeof obis
  }
  return null
}

/** OBIS code → value with its unit, e.g. `'1-0:1.8.0' → '1234.567 kWh'`; unmeasured fields left out. */
export function toObis(reading: Reading): Record<string, string> {
  const named: Record<string, string> = {}
  for (const [field, { code, unit, scale }] of Object.entries(obis)) {
    const value = reading[field as keyof typeof obis]
    if (value === null) continue
    // Whole steps of the scale: the digits shown are exactly the integer held.
    const digits = scale === 1 ? 0 : scale === 0.1 ? 1 : 3
    named[code] = `${(value / 10 ** digits).toFixed(digits)} ${unit}`
  }
  return named
}
