import { afterEach, describe, expect, test, vi } from 'vitest'
import type * as native from '#crypto-native'
import { nodeCrypto } from '#crypto-node'

/** As a program that starts on a machine finds it. */
async function freshly(): Promise<typeof native> {
  vi.resetModules()
  return await import('#crypto-native')
}

describe('nativeCrypto', () => {
  afterEach(() => {
    vi.doUnmock('sodium-native')
  })

  test('has libsodium for the curves, node:crypto for the rest', async () => {
    const { nativeCrypto, curveLibrary } = await freshly()
    expect(curveLibrary).toBe('libsodium')
    expect(Object.keys(nativeCrypto)).toEqual(Object.keys(nodeCrypto))
  })

  test('is node:crypto where the addon has no build for the machine', async () => {
    vi.doMock('sodium-native', () => {
      throw new Error("Cannot find addon '.'")
    })
    const { nativeCrypto, curveLibrary } = await freshly()
    expect(curveLibrary).toBe('node:crypto')
    const key = nativeCrypto.signingKey(new Uint8Array(32).fill(7))
    const message = Uint8Array.of(1, 2, 3)
    const { publicKey } = nodeCrypto.signingKey(new Uint8Array(32).fill(7))
    expect(key.publicKey).toEqual(publicKey)
    expect(nativeCrypto.verifyKey(publicKey).verify(message, key.sign(message))).toBe(true)
  })
})
