/** Signature_or_MAC_2 and Signature_or_MAC_3 in method 0, RFC 9528 §5.3.2, §5.4.2. */
import { concat, equal } from '#bytes'
import { encode } from '#cbor'
import { sigStructure } from '#cose'
import { edhocError } from './errors.ts'
import type { IdCred } from './id-cred.ts'
import { kdf, MAC_LENGTH, macLabel, traced, wipe, type Tools } from './key-schedule.ts'
import type { OwnCredential, PeerCredential } from './types.ts'

/** Everything a signature binds: the transcript, who signs, and what came along. */
export interface Binding {
  readonly message: 2 | 3
  readonly prk: Uint8Array
  /** TH_2 or TH_3. */
  readonly th: Uint8Array
  /** Encoded C_R, which begins context_2; empty in context_3. */
  readonly cR: Uint8Array
  readonly idCred: IdCred
  /** EAD_2 or EAD_3 as sent. */
  readonly ead: Uint8Array
}

/** The COSE Sig_structure over MAC_x. CRED_x is in the MAC and beside it, against misbinding. */
function toBeSigned(tools: Tools, binding: Binding, cred: Uint8Array): Uint8Array {
  const { message, prk, th, cR, ead } = binding
  const idCred = encode(binding.idCred)
  const context = concat(cR, idCred, encode(th), cred, ead)
  traced(tools, `context_${message}`, context)
  const mac = kdf(tools, `MAC_${message}`, prk, macLabel(message), context, MAC_LENGTH)
  // external_aad, << TH_x, CRED_x, ? EAD_x >>, is how context_x ends.
  const externalAad = context.subarray(cR.length + idCred.length)
  const structure = sigStructure(idCred, externalAad, mac)
  wipe(mac)
  return traced(tools, `Message to be signed ${message}`, structure)
}

export function signBinding(tools: Tools, binding: Binding, own: OwnCredential): Uint8Array {
  const signature = own.key.sign(toBeSigned(tools, binding, own.cred))
  return traced(tools, `Signature_or_MAC_${binding.message}`, signature)
}

/** @throws edhoc/own-identity, edhoc/bad-signature */
export function verifyBinding(
  tools: Tools,
  binding: Binding,
  signature: Uint8Array,
  peer: PeerCredential,
  own: OwnCredential,
): void {
  // §9.2: a session proves that another party took part only if we never accept ourselves.
  if (equal(peer.cred, own.cred) || equal(peer.key.publicKey, own.key.publicKey))
    throw edhocError('edhoc/own-identity', 'the peer presented our own credential')
  if (!peer.key.verify(toBeSigned(tools, binding, peer.cred), signature))
    throw edhocError('edhoc/bad-signature', `message_${binding.message} is not signed by its peer`)
}
