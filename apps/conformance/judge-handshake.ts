import { toHex } from '#bytes'
import { decodeSequence, type CborValue } from '#cbor'
import { peekIdentifier } from '#channel'
import { codeOf } from '#errors'
import type { Verdicts } from './verdicts.ts'

const SUITE = 4
const KEY_BYTES = 32

/** Judges the messages a meter sends in a handshake. */
export class HandshakeJudge {
  readonly #verdicts: Verdicts
  /** Ephemeral keys seen, by message_1 in hexadecimal. */
  readonly #byKey = new Map<string, string>()
  #handshakes = 0

  constructor(verdicts: Verdicts) {
    this.#verdicts = verdicts
  }

  /** A message_1 not seen before; `expected` is the epoch it has to make, null where any will do. */
  message1(bytes: Uint8Array, expected: number | null): void {
    const v = this.#verdicts
    const items = itemsOf(bytes)
    if (typeof items === 'string') {
      v.fail('message-1/form', {
        expected: 'four items of deterministic CBOR, perhaps EAD_1 after them',
        came: `${items}: ${toHex(bytes)}`,
      })
      return
    }
    const [method, suites, gX] = items
    v.judge('message-1/form', items.length >= 4, () => ({
      expected: 'METHOD, SUITES_I, G_X, C_I',
      came: `${items.length} items: ${toHex(bytes)}`,
    }))
    v.judge('message-1/method', method === 0, () => ({
      expected: 'METHOD 0',
      came: `${show(method)} in ${toHex(bytes)}`,
    }))
    const selected = Array.isArray(suites) ? suites.at(-1) : suites
    v.judge('message-1/suite', selected === SUITE, () => ({
      expected: `SUITES_I ${SUITE}`,
      came: `${show(suites)} in ${toHex(bytes)}`,
    }))
    const isKey = gX instanceof Uint8Array && gX.length === KEY_BYTES
    v.judge('message-1/key', isKey, () => ({
      expected: `G_X of ${KEY_BYTES} bytes`,
      came: `${show(gX)} in ${toHex(bytes)}`,
    }))
    if (isKey) this.#freshKey(gX, bytes)
    this.#identifier(bytes, expected)
  }

  /** The key agreement refused G_X. */
  lowOrder(bytes: Uint8Array): void {
    const expected = 'a point that gives a shared secret'
    this.#verdicts.fail('message-1/key', { expected, came: `low order, in ${toHex(bytes)}` })
  }

  /**
   * message_3 as processed: `stage` is how far it got, `error` what stopped it there, if anything.
   * `plaintext` is PLAINTEXT_3 once it opened.
   */
  message3(stage: Stage3, error: unknown, bytes: Uint8Array, plaintext: Uint8Array | null): void {
    const at = order.indexOf(stage)
    this.#verdicts.pass(...order.slice(0, at).map((name) => clauseOf[name]))
    if (error === null) return
    const text = plaintext === null ? '' : `; PLAINTEXT_3 is ${toHex(plaintext)}`
    const words = error instanceof Error ? error.message : 'not an error'
    this.#verdicts.fail(clauseOf[stage], {
      expected: expectedAt[stage],
      came: `${words} (${codeOf(error)}): ${toHex(bytes)}${text}`,
    })
  }

  #freshKey(gX: Uint8Array, message1: Uint8Array): void {
    const before = this.#byKey.get(toHex(gX))
    this.#byKey.set(toHex(gX), toHex(message1))
    this.#handshakes += 1
    if (before !== undefined) {
      this.#verdicts.fail('message-1/fresh-key', {
        expected: 'an ephemeral key never used before',
        came: `G_X ${toHex(gX)} in ${toHex(message1)}, and before in ${before}`,
      })
    } else if (this.#handshakes > 1) this.#verdicts.pass('message-1/fresh-key')
  }

  #identifier(bytes: Uint8Array, expected: number | null): void {
    const cI = peekIdentifier(bytes)
    const right = cI !== null && (expected === null || (cI & 3) === expected)
    const epoch = expected === null ? '' : ` that ends on epoch ${expected}`
    this.#verdicts.judge('message-1/identifier', right, () => ({
      expected: `C_I from 0x20 to 0x37${epoch}`,
      came: `${cI === null ? 'another value' : `0x${cI.toString(16)}`} in ${toHex(bytes)}`,
    }))
  }
}

/** How far a message_3 gets: what is judged, in this order. */
export type Stage3 = 'form' | 'encryption' | 'credential' | 'signature' | 'done'

const order: readonly Stage3[] = ['form', 'encryption', 'credential', 'signature', 'done']

const clauseOf: Readonly<Record<Stage3, string>> = {
  form: 'message-3/form',
  encryption: 'message-3/encryption',
  credential: 'message-3/credential',
  signature: 'message-3/signature',
  done: 'message-3/signature',
}

const expectedAt: Readonly<Record<Stage3, string>> = {
  form: 'one byte string, and in it ID_CRED_I, a signature of 64 bytes, perhaps EAD_3',
  encryption: 'a ciphertext under K_3, IV_3 and TH_3',
  credential: '{13: CWT} of a meter of this authority and group, valid now',
  signature: 'the signature of the key in that credential over the Sig_structure with MAC_3',
  done: 'nothing',
}

function itemsOf(bytes: Uint8Array): CborValue[] | string {
  try {
    return decodeSequence(bytes)
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** A CBOR value for a person. */
export function show(value: CborValue | undefined): string {
  if (value === undefined) return 'nothing'
  if (value instanceof Uint8Array) return `h'${toHex(value)}'`
  if (Array.isArray(value)) return `[${value.map(show).join(', ')}]`
  if (value instanceof Map)
    return `{${[...value].map(([key, held]) => `${key}: ${show(held)}`).join(', ')}}`
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}
