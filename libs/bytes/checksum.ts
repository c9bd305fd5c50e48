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

/** Whether bytes begin as those of `addChecksum` do; a flipped bit in the mark hides it. */
export function hasChecksum(bytes: Uint8Array): boolean {
  return bytes[0] === MARK
}

/**
 * What bytes whose checksum does not fit were before one bit of them flipped; null when it takes more
 * than that to explain them. Two flipped bits are never taken for one, larger damage very rarely is: good
 * to find out what was meant, not to go on with in its place.
 */
export function unflip(bytes: Uint8Array): Uint8Array | null {
  if (bytes.length < HEAD) return null
  const content = Uint8Array.from(bytes.subarray(HEAD)) // a Buffer's slice would be a view
  const stored = new DataView(bytes.buffer, bytes.byteOffset).getUint32(1)
  const difference = (stored ^ crc32(bytes, HEAD)) >>> 0
  if (difference === 0) return content // it lies in the mark
  if (!hasChecksum(bytes)) return null
  if ((difference & (difference - 1)) === 0) return content // in the checksum
  // CRC is linear: a flipped bit changes it by a value that depends on its distance from the end alone.
  for (let bit = 0; bit < 8; bit++) {
    let change = TABLE[1 << bit]!
    for (let at = content.length - 1; at >= 0; at--) {
      if (change === difference) {
        content[at]! ^= 1 << bit
        return content
      }
      change = ((change >>> 8) ^ TABLE[change & 0xff]!) >>> 0
    }
  }
  return null
}

/**
 * The mirror of `addChecksum`, a view; bytes from before there were checksums come back as they are.
 * Throws `bytes/damaged`.
 */
export function dropChecksum(bytes: Uint8Array): Uint8Array {
  if (!hasChecksum(bytes)) return bytes
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  if (bytes.length >= HEAD && view.getUint32(1) === crc32(bytes, HEAD)) return bytes.subarray(HEAD)
  throw new CodedError('bytes/damaged', 'stored bytes do not match their checksum')
}
