/**
 * The primitives for the machines that serve thousands of meters: curve arithmetic by libsodium where
 * its addon has a build for this machine, everything else, and all of it elsewhere, by node:crypto.
 */
import type { Crypto } from '#crypto'
import { nodeCrypto } from '#crypto-node'
import { sodiumCurves, type Curves } from './sodium.ts'

/** libsodium's curves, or null: 32-bit ARM and musl have no prebuilt addon. */
const curves: Curves | null = await loadCurves()

export const nativeCrypto: Crypto = { ...nodeCrypto, ...curves }

/** What does the curve arithmetic. */
export const curveLibrary = curves === null ? 'node:crypto' : 'libsodium'

async function loadCurves(): Promise<Curves | null> {
  try {
    const { default: sodium } = await import('sodium-native')
    return sodiumCurves(sodium)
  } catch {
    return null
  }
}
