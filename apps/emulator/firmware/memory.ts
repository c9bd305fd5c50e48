import type { Crypto, SigningKey } from '#crypto'
import type { Host, Operation } from './host.ts'

/**
 * There is not enough memory: the chip must start again. Not a `CodedError`: those are answers, and
 * code that expects answers must not take this for one.
 */
export class Exhausted extends Error {
  constructor() {
    super('out of memory')
    this.name = 'Exhausted'
  }
}

export interface Memory {
  /** Throws `Exhausted` unless this many bytes are free at the moment. */
  require(bytes: number): void
  readonly roomBytes: number
  /** It was short at some time, whoever caught what was thrown then. */
  readonly exhausted: boolean
  /** Runs one step of the firmware; whatever it hit for want of memory comes out as `Exhausted`. */
  step<T>(reserveBytes: number, work: () => T): T
}

/** `roomBytes`: free bytes an operation of cryptography wants; 0 where memory is no concern. */
export function createMemory(roomBytes: number): Memory {
  let exhausted = false

  function require(bytes: number): void {
    if (bytes === 0) return
    try {
      void new Uint8Array(bytes)
    } catch {
      exhausted = true
      throw new Exhausted()
    }
  }

  return {
    require,
    roomBytes,
    get exhausted() {
      return exhausted
    },
    step(reserveBytes, work) {
      require(reserveBytes)
      try {
        const result = work()
        if (exhausted) throw new Exhausted()
        return result
      } catch (error) {
        if (!exhausted && !isShortage(error)) throw error
        exhausted = true
        throw new Exhausted()
      }
    },
  }
}

/**
 * What QuickJS throws without memory; when there is not even enough for an error, null. Code that took
 * it for a fault of what it was reading has it as the cause of what it throws.
 */
export function isShortage(error: unknown): boolean {
  if (error === null) return true
  if (!(error instanceof Error)) return false
  return error.name === 'InternalError' || ('cause' in error && isShortage(error.cause))
}

/**
 * A library that lacks memory in the middle of a signature may well call it wrong. So each operation
 * begins with the room it needs, or not at all; and the chip is charged for it.
 */
export function chargedCrypto(crypto: Crypto, host: Host, memory: Memory): Crypto {
  function begin(operation: Operation, bytes: number): void {
    memory.require(memory.roomBytes)
    host.charge(operation, bytes)
  }
  function charged<A extends unknown[], R>(
    operation: Operation,
    work: (...args: A) => R,
    sizeOf: (...args: A) => number,
  ): (...args: A) => R {
    return (...args) => {
      begin(operation, sizeOf(...args))
      return work(...args)
    }
  }
  return {
    sha256: charged(
      'sha256',
      (data: Uint8Array) => crypto.sha256(data),
      ({ length }) => length,
    ),
    hmacSha256: charged(
      'hmac',
      (key: Uint8Array, data: Uint8Array) => crypto.hmacSha256(key, data),
      (_key, data) => data.length,
    ),
    hkdfExtract: charged(
      'hmac',
      (salt: Uint8Array, ikm: Uint8Array) => crypto.hkdfExtract(salt, ikm),
      (_salt, ikm) => ikm.length,
    ),
    hkdfExpand: charged(
      'hmac',
      (prk: Uint8Array, info: Uint8Array, length: number) => crypto.hkdfExpand(prk, info, length),
      (_prk, info, length) => info.length + length,
    ),
    // Most wakes sign nothing: the key is made when it is needed.
    signingKey(secret) {
      let made: SigningKey | null = null
      const key = () => {
        if (made === null) begin('keygen', secret.length)
        return (made ??= crypto.signingKey(secret))
      }
      return {
        get publicKey() {
          return key().publicKey
        },
        sign(message) {
          const ready = key()
          begin('sign', message.length)
          return ready.sign(message)
        },
      }
    },
    verifyKey(publicKey) {
      const key = crypto.verifyKey(publicKey)
      const verify = (message: Uint8Array, signature: Uint8Array) => key.verify(message, signature)
      return {
        publicKey: key.publicKey,
        verify: charged('verify', verify, ({ length }) => length),
      }
    },
    x25519(secret) {
      begin('agree', 32)
      const key = crypto.x25519(secret)
      return {
        publicKey: key.publicKey,
        shared: charged(
          'agree',
          (peer: Uint8Array) => key.shared(peer),
          ({ length }) => length,
        ),
      }
    },
    aead(secret) {
      const key = crypto.aead(secret)
      return {
        seal(nonce, aad, plaintext) {
          begin('seal', aad.length + plaintext.length)
          return key.seal(nonce, aad, plaintext)
        },
        open(nonce, aad, ciphertext) {
          begin('open', aad.length + ciphertext.length)
          return key.open(nonce, aad, ciphertext)
        },
      }
    },
  }
}
