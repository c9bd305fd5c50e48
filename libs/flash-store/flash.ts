/**
 * Serial NOR flash as a driver offers it: bytes are programmed, which only turns ones into zeros;
 * ones come back a whole sector at a time. Both have happened when the call returns; what the power
 * did to a call that never returned is anybody's guess.
 */
export interface Flash {
  /** Bytes erased at once. */
  readonly sectorBytes: number
  readonly sectors: number
  read(at: number, length: number): Uint8Array
  program(at: number, bytes: Uint8Array): void
  erase(sector: number): void
}
