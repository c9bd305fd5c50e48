/** A reflected CRC-16: the polynomial with its bits reversed, what it begins with and is xored with. */
interface Crc16 {
  polynomial: number
  start: number
  xorOut: number
}

/** CRC-16/ARC: P1 companion standard 5.0.2 §6.2 (x^16 + x^15 + x^2 + 1). */
const arc: Crc16 = { polynomial: 0xa001, start: 0, xorOut: 0 }
/** CRC-16/X-25: the frame check sequence of ISO/IEC 13239, which SML uses (BSI TR-03109-1 Anlage IV). */
const x25: Crc16 = { polynomial: 0x8408, start: 0xffff, xorOut: 0xffff }
/** CRC-16/Kermit, which is X-25 without the ones: what some Holley meters send in its place. */
const kermit: Crc16 = { polynomial: 0x8408, start: 0, xorOut: 0 }

/** CRC-16/MODBUS: MODBUS over Serial Line 1.02 §6.2.2. */
const modbus: Crc16 = { polynomial: 0xa001, start: 0xffff, xorOut: 0 }

export function crc16Arc(bytes: Uint8Array): number {
  return crc16(arc, bytes)
}

export function crc16X25(bytes: Uint8Array): number {
  return crc16(x25, bytes)
}

export function crc16Kermit(bytes: Uint8Array): number {
  return crc16(kermit, bytes)
}

export function crc16Modbus(bytes: Uint8Array): number {
  return crc16(modbus, bytes)
}

function crc16({ polynomial, start, xorOut }: Crc16, bytes: Uint8Array): number {
  let crc = start
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >> 1 : (crc >> 1) ^ polynomial
  }
  return crc ^ xorOut
}
