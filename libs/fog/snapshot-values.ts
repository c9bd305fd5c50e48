import type { CborValue } from '#cbor'

/** Typed access to a decoded snapshot; anything unexpected is an error its reader puts a name to. */
export function list(value: CborValue | undefined): CborValue[] {
  if (Array.isArray(value)) return value
  throw new Error('not an array')
}

export function int(value: CborValue | undefined): number {
  if (typeof value === 'number') return value
  throw new Error('not an integer')
}

export function intOrNull(value: CborValue | undefined): number | null {
  return value === null ? null : int(value)
}

export function bytes(value: CborValue | undefined): Uint8Array {
  if (value instanceof Uint8Array) return value
  throw new Error('not bytes')
}
