/** For a virtual machine: the same question, asked as the firmware asks it. */
import { ed25519 } from '@noble/curves/ed25519.js'
import { nobleCrypto } from '#crypto'
import type { Host } from '../../apps/emulator/firmware/host.ts'
import { chargedCrypto, createMemory } from '../../apps/emulator/firmware/memory.ts'

ed25519.Point.BASE.precompute(2, false)

const host = { charge: () => undefined } as unknown as Host

export function verify(message: Uint8Array, signature: Uint8Array, key: Uint8Array): boolean {
  const memory = createMemory(12_288)
  const crypto = chargedCrypto(nobleCrypto, host, memory)
  return memory.step(16_384, () => crypto.verifyKey(key).verify(message, signature))
}
