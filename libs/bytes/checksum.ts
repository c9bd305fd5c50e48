import { CodedError } from '#errors'

/** No CBOR array begins like this, which is what blobs were before they had a checksum. */
const MARK = 0xc5
const HEAD = 5

/** CRC-32 (ISO 3309), a table of it byte by byte. */
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte
  for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0)
  return value
})

function crc32(bytes: Uint8Array, from: number): number {
  let crc = 0xffffffff
  for (let i = from; i < bytes.length; i++) crc = (crc >>> 8) ^ TABLE[(crc ^ bytes[i]!) & 0xff]!
  return ~crc >>> 0
}

/**
 * Bytes for a disk, so that the one flipped bit that no database notices is noticed when they are
 * read: mark, CRC-32, the bytes. Against accidents only; whoever can write can also compute it.
 */
export function addChecksum(bytes: Uint8Array): Uint8Array {
  const out = new Uint8Array(HEAD + bytes.length)
  out.set(bytes, HEAD)
  out[0] = MARK
  new DataView(out.buffer).setUint32(1, crc32(out, HEAD))
  return out
}

/**
 * The mirror of `addChecksum`, a view; bytes from before there were checksums come back as they are.
 * Throws `bytes/damaged`.
 */
export function dropChecksum(bytes: Uint8Array): Uint8Array {
  if (bytes[0] !== MARK) return bytes
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (bytes.length >= HEAD && view.getUint32(1) === crc32(bytes, HEAD)) return bytes.subarray(HEAD)
  throw new CodedError('bytes/damaged', 'stored bytes do not match their checksum')
}
