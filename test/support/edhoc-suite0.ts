import { createCipheriv, createDecipheriv } from 'node:crypto'
import type { Suite } from '#edhoc'

const CCM = 'aes-128-ccm'
const TAG = 8

/**
 * Cipher suite 0 of RFC 9528 §10.2 (AES-CCM-16-64-128), only for the published traces: Fogmeter
 * itself speaks suite 4.
 */
export const suite0: Suite = {
  id: 0,
  aeadKeyLength: 16,
  aeadNonceLength: 13,
  aeadTagLength: TAG,
  macLength: 8,
  aeadSeal(key, nonce, aad, plaintext) {
    const cipher = createCipheriv(CCM, key, nonce, { authTagLength: TAG })
    cipher.setAAD(aad, { plaintextLength: plaintext.length })
    const body = cipher.update(plaintext)
    cipher.final()
    return Uint8Array.from([...body, ...cipher.getAuthTag()])
  },
  aeadOpen(key, nonce, aad, ciphertext) {
    const length = ciphertext.length - TAG
    if (length < 0) return null
    const decipher = createDecipheriv(CCM, key, nonce, { authTagLength: TAG })
    decipher.setAuthTag(ciphertext.subarray(length))
    decipher.setAAD(aad, { plaintextLength: length })
    try {
      const plaintext = decipher.update(ciphertext.subarray(0, length))
      decipher.final()
      return Uint8Array.from(plaintext)
    } catch {
      return null
    }
  },
}
