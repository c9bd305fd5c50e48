import { parentPort } from 'node:worker_threads'
import type { VerifyKey } from '#crypto'
import { nativeCrypto } from '#crypto-native'
import { unpackJobs, type VerifyJob } from './verify-jobs.ts'

/** Prepared keys, the least recently used first: preparing one costs as much as half a check. */
const keys = new Map<string, VerifyKey>()
const maxKeys = 20_000

function keyFor(publicKey: Uint8Array): VerifyKey {
  const { buffer, byteOffset, length } = publicKey
  const name = Buffer.from(buffer, byteOffset, length).toString('latin1')
  const known = keys.get(name)
  // Half empty it forgets nothing yet. A map that is reordered at every use leaves its old tables behind,
  // and they lie about until the next full collection, which a thread with so little to do puts off for
  // half an hour: ten MiB of each thread.
  if (known !== undefined && keys.size <= maxKeys / 2) return known
  const key = known ?? nativeCrypto.verifyKey(publicKey)
  keys.delete(name)
  keys.set(name, key)
  if (keys.size > maxKeys) for (const oldest of keys.keys()) return drop(oldest, key)
  return key
}

function drop(oldest: string, key: VerifyKey): VerifyKey {
  keys.delete(oldest)
  return key
}

function good({ publicKey, message, signature }: VerifyJob): boolean {
  try {
    return keyFor(publicKey).verify(message, signature)
  } catch {
    return false // a key that is none verifies nothing
  }
}

parentPort?.on('message', (packed: Uint8Array) => {
  const results = Uint8Array.from(unpackJobs(packed), (job) => (good(job) ? 1 : 0))
  parentPort?.postMessage(results, [results.buffer])
})
