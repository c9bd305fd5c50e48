/** Deterministic CBOR: RFC 8949 §4.2.1 on the wire and under every signature. See README.md. */
export { decode, decodeSequence, type CborValue } from './value.ts'
export { decodeInts, encodeInts, writeInts } from './ints.ts'
export type { CborLimits } from './scan.ts'
export { shortLived } from './slab.ts'
export { encode, encodeInside, encodeSequence } from './write.ts'
