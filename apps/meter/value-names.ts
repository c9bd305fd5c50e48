import type { MeterConfig } from '#config'

type Mapped = Extract<MeterConfig['source'], { kind: 'mqtt' }>['map'][number]['value']

/** What a table of the configuration calls a value, as OBIS code. */
export const valueCodes: Readonly<Record<Mapped, string>> = {
  power: '1-0:16.7.0',
  import_power: '1-0:1.7.0',
  export_power: '1-0:2.7.0',
  import: '1-0:1.8.0',
  export: '1-0:2.8.0',
  voltage: '1-0:32.7.0',
  current: '1-0:31.7.0',
}

/** True for a row that makes measurements. */
export function isPower({ value }: { value: Mapped }): boolean {
  return value === 'power' || value === 'import_power' || value === 'export_power'
}

export function isRegister({ value }: { value: Mapped }): boolean {
  return value === 'import' || value === 'export'
}
