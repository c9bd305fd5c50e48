/**
 * What a chip gives its firmware, and what a firmware gives its chip. Numbers, text and bytes only:
 * this is the border of the virtual machine.
 */

/** Operations whose cost on a chip is known; `bytes` is what they work on. */
export type Operation = 'sign' | 'verify' | 'keygen' | 'agree' | 'sha256' | 'hmac' | 'seal' | 'open'

/**
 * Primitives in machine code, for the firmware that asks for them. `verify` answers one byte or
 * none, `agree` nothing for the all-zero secret, `open` a byte before the plaintext or nothing.
 */
export type Native = (
  name:
    | 'sha256'
    | 'hmac'
    | 'expand'
    | 'public'
    | 'sign'
    | 'verify'
    | 'agree-public'
    | 'agree'
    | 'seal'
    | 'open',
  ...values: Uint8Array[]
) => Uint8Array

export interface Host {
  /** Wall time, ms since 1970, right only once `timeKnown`. */
  now(): number
  /** Ms since the power came; goes on while the chip sleeps. */
  monotonic(): number
  /** The clock has been set since the power came. */
  timeKnown(): boolean
  random(length: number): Uint8Array
  flashRead(at: number, length: number): Uint8Array
  flashProgram(at: number, bytes: Uint8Array): void
  flashErase(sector: number): void
  /** Memory that outlives sleep but not a power cut; empty then. */
  retained(): Uint8Array
  retain(bytes: Uint8Array): void
  /** Begins an MQTT connection with this client id, subscribed to its `dn` topic. */
  connect(channelId: string): void
  /** To its `up` topic. */
  publish(frame: Uint8Array): void
  disconnect(): void
  /** Told before each operation, so that the time it takes on the chip passes. */
  charge(operation: Operation, bytes: number): void
  /** Something for the log: an object as JSON. */
  event(json: string): void
  readonly native: Native
}

/** What was put into the chip when it was made, and how its flash is cut. */
export interface Provision {
  signingSecret: Uint8Array
  credential: Uint8Array
  authorityKey: Uint8Array
  /** Name the fog node must prove. */
  node: string
  sectors: number
  sectorBytes: number
  /** Bytes that must be free before the firmware is put together, */
  bootBytes: number
  /** before each thing it does later, so that nothing fails halfway for want of them, */
  reserveBytes: number
  /** and before each signature, agreement or seal. All are more than what was seen to be used. */
  roomBytes: number
  maxBlocks: number
  maxStatements: number
}

/** Every method throws `Exhausted` before it has changed anything when memory is short. */
export interface Firmware {
  /** False when the reading could not be recorded. */
  measure(powerW: number, importWh: number, exportWh: number): boolean
  /** Something signed waits and it is time to try. */
  wantsLink(): boolean
  /** The radio is up: connects. */
  online(): void
  /** The connection that `online` asked for is there. */
  connected(): void
  receive(frame: Uint8Array): void
  /** It ended, or never came. */
  disconnected(): void
  tick(): void
  /** Monotonic ms at which `tick` is due while the radio is up. */
  nextTickAt(): number
  /** Nothing is left to send or to wait for: the radio may go off. */
  delivered(): boolean
  /** Signs what is open. */
  closeBlock(): void
  /** `MeterStatus` of #meter as JSON. */
  status(): string
}
