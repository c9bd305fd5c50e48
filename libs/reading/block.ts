import type { Reading } from './reading.ts'
import type { Statement } from './statement.ts'

/** A signed run of 1 to 64 readings. */
export interface Block {
  statement: Statement
  /** The 64-byte Ed25519 signature of a COSE_Sign1 over the statement. */
  signature: Uint8Array
  readings: Reading[]
}
