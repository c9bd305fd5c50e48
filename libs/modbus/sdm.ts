import { codeOf } from '#errors'
import { blocksOf } from './device.ts'
import { numberFrom } from './number.ts'
import { obis, phases } from './obis.ts'
import type { Device, ReadRegisters, Row } from './types.ts'

/** Eastron meters with one phase, and with three. */
type SdmProfile = 'sdm120' | 'sdm630'

/**
 * Input registers of Eastron's protocol documents ("SDM120-Modbus Modbus Protocol", "SDM630-Modbus
 * V2 User Manual" §1.2), where parameter n of the 3X list stands at 2n − 2 in floats of 32 bits.
 * What a model does not have reads as zero, so the two profiles ask for nothing that theirs lack.
 */
const address = {
  voltage: 0x00,
  current: 0x06,
  power: 0x0c,
  total: 0x34,
  imported: 0x48,
  exported: 0x4a,
}

/** Holding registers of the serial number, an integer of 32 bits. */
const SERIAL_NUMBER = 0xfc00

function float(register: number, code: string, unit: string): Row {
  return { table: 'input', register, type: 'float32', code, unit }
}

const registers = [
  float(address.imported, obis.importWh, 'kWh'),
  float(address.exported, obis.exportWh, 'kWh'),
]

/** The values of the profile; a power of positive sign is import. */
export function sdmRows(profile: SdmProfile): Row[] {
  if (profile === 'sdm120') {
    return [
      float(address.voltage, obis.voltage(0), 'V'),
      float(address.current, obis.current(0), 'A'),
      float(address.power, obis.power, 'W'),
      ...registers,
    ]
  }
  return [
    ...phases.flatMap((phase) => [
      float(address.voltage + 2 * phase, obis.voltage(phase), 'V'),
      float(address.current + 2 * phase, obis.current(phase), 'A'),
      float(address.power + 2 * phase, obis.phasePower(phase), 'W'),
    ]),
    float(address.total, obis.power, 'W'),
    ...registers,
  ]
}

/** The meter and its serial number, if it tells one. Rejects as `read`. */
export async function findSdm(read: ReadRegisters, profile: SdmProfile): Promise<Device> {
  const rows = sdmRows(profile)
  return { maker: 'Eastron', meterId: await serialNumber(read), rows, blocks: blocksOf(rows) }
}

async function serialNumber(read: ReadRegisters): Promise<string | null> {
  try {
    const number = numberFrom(await read('holding', SERIAL_NUMBER, 2), 'uint32')
    return number === null || number.mantissa === 0n ? null : String(number.mantissa)
  } catch (error) {
    if (codeOf(error) === 'modbus/refused') return null
    throw error
  }
}
