import type { CborValue } from '#cbor'
import type { AgreementKey, Crypto, SigningKey, VerifyKey } from '#crypto'
import type { EadItem } from './ead.ts'

/**
 * The part of a cipher suite (RFC 9528 §3.6) that differs between the suites on X25519, EdDSA and
 * SHA-256: the EDHOC AEAD. Lengths in bytes.
 */
export interface Suite {
  readonly id: number
  readonly aeadKeyLength: number
  readonly aeadNonceLength: number
  readonly aeadTagLength: number
  /** EDHOC MAC length. Only static Diffie-Hellman uses it; the MACs of method 0 are as long as a hash. */
  readonly macLength: number
  aeadSeal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array
  /** null when the ciphertext was not made with this key, nonce and aad. */
  aeadOpen(
    key: Uint8Array,
    nonce: Uint8Array,
    aad: Uint8Array,
    ciphertext: Uint8Array,
  ): Uint8Array | null
}

/** What we prove ourselves with. */
export interface OwnCredential {
  /** ID_CRED_x, a COSE header map (§3.5.3): `new Map([[13, …]])`. */
  readonly idCred: CborValue
  /** CRED_x (§3.5.2) as one encoded CBOR data item. */
  readonly cred: Uint8Array
  readonly key: SigningKey
}

/** A credential the application has judged, and the key it names. `cred` as in `OwnCredential`. */
export interface PeerCredential {
  readonly cred: Uint8Array
  readonly key: VerifyKey
}

/**
 * Finds and judges the peer's credential (§5.3.3, §5.4.3). Nothing in `idCred` or `ead` is
 * authenticated yet. Throws a CodedError to refuse: `edhoc/unknown-credential` becomes ERR_CODE 3,
 * every other code ERR_CODE 1 (`errorMessageFor`).
 */
export type ResolvePeer = (idCred: CborValue, ead: readonly EadItem[]) => PeerCredential

/** Sees every intermediate value under its name in RFC 9529, as a copy. For test vectors only. */
export type Trace = (name: string, bytes: Uint8Array) => void

/** What a whole EDHOC session runs on. */
export interface SessionOptions {
  readonly crypto: Crypto
  readonly suite: Suite
  readonly own: OwnCredential
  /** 32 fresh random bytes, used for this session only. The caller wipes its copy. */
  readonly ephemeralSecret: Uint8Array
  /** EAD labels (§3.8) the application processes; a critical item with any other label is refused. */
  readonly knownEad?: readonly number[]
  readonly trace?: Trace
}

/** The constant part of a session, carried from state to state. */
export interface Session {
  readonly crypto: Crypto
  readonly suite: Suite
  readonly own: OwnCredential
  readonly knownEad: readonly number[]
  readonly trace: Trace | undefined
}

/**
 * A state is good for one message (§5.1: no message is processed twice in a session). It is spent
 * the moment a message is processed, whatever comes of it; after an error the session is over.
 */
interface OneUse {
  spent: boolean
}

/** Initiator: message_1 is sent, message_2 is awaited. */
export interface InitiatorWait2 extends OneUse {
  readonly step: 'initiator-wait-2'
  readonly session: Session
  readonly cI: Uint8Array
  readonly message1Hash: Uint8Array
  readonly ephemeral: AgreementKey
}

/** Responder: message_2 is sent, message_3 is awaited. `prk` is PRK_2e and, in method 0, PRK_3e2m. */
export interface ResponderWait3 extends OneUse {
  readonly step: 'responder-wait-3'
  readonly session: Session
  readonly prk: Uint8Array
  readonly th3: Uint8Array
}

/** Initiator: message_3 is sent, message_4 is awaited. `prk` is PRK_3e2m and, in method 0, PRK_4e3m. */
export interface InitiatorWait4 extends OneUse {
  readonly step: 'initiator-wait-4'
  readonly session: Session
  readonly prk: Uint8Array
  readonly th4: Uint8Array
}
