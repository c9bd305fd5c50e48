/** The customer port of Dutch, Belgian and other meters: DSMR and e-MUCS P1 telegrams. README.md. */
export {
  additionalData,
  formatEncrypted,
  parseEncrypted,
  publicAuthenticationKey,
} from './encrypted.ts'
export { createP1Framer } from './frame.ts'
export { parseP1 } from './telegram.ts'
export type { MbusChannel, P1Telegram } from './types.ts'
