/** What electricity meters say over Modbus: register tables, Eastron SDM, SunSpec. README.md. */
export { blocksOf, readDevice } from './device.ts'
export { numberFrom, scaleFrom, type NumberType } from './number.ts'
export { findSdm } from './sdm.ts'
export { findSunspec } from './sunspec.ts'
export type { Device, ModbusTelegram, ReadRegisters, Row } from './types.ts'
