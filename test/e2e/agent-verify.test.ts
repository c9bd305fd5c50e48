import { afterEach, describe, expect, test } from 'vitest'
import { utf8 } from '#bytes'
import { nodeCrypto } from '#crypto-node'
import { codeOf } from '#errors'
import { packJobs, unpackJobs } from '../../apps/agent/verify-jobs.ts'
import { startVerifyPool, type VerifyPool } from '../../apps/agent/verify-pool.ts'

const keys = [1, 2, 3].map((seed) => nodeCrypto.signingKey(new Uint8Array(32).fill(seed)))
const signed = Array.from({ length: 500 }, (_, index) => {
  const key = keys[index % keys.length]!
  const message = utf8(`message ${index}`)
  return { publicKey: key.publicKey, message, signature: key.sign(message) }
})

test('jobs come out of their buffer as they went in', () => {
  const unpacked = unpackJobs(packJobs(signed))
  expect(unpacked.map((job) => ({ ...job }))).toEqual(signed)
  expect(unpackJobs(packJobs([]))).toEqual([])
})

describe('the pool', () => {
  let pool: VerifyPool
  const crashes: unknown[] = []
  const start = (workers: number) => {
    pool = startVerifyPool(workers, (error) => void crashes.push(error))
  }
  afterEach(() => pool.close())

  test('tells every good signature from every bad one, whatever the batches', async () => {
    start(2)
    const results = await Promise.all(
      signed.map(({ publicKey, message, signature }, index) => {
        const spoilt = index % 3 === 0 ? utf8('another message') : message
        return pool.verify(publicKey, spoilt, signature)
      }),
    )
    expect(results).toEqual(signed.map((_, index) => index % 3 !== 0))
    expect(pool.waiting()).toBe(0)
  })

  test('a key or signature that is none is simply not good', async () => {
    start(1)
    const [{ publicKey, message, signature }] = signed as [(typeof signed)[0]]
    expect(await pool.verify(new Uint8Array(32), message, signature)).toBe(false)
    expect(await pool.verify(publicKey.subarray(1), message, signature)).toBe(false)
    expect(await pool.verify(publicKey, message, new Uint8Array(64).fill(255))).toBe(false)
    expect(await pool.verify(publicKey, message, signature)).toBe(true)
  })

  test('a thread that dies is replaced and what it was doing is done again', async () => {
    start(1)
    const answers = signed.map(({ publicKey, message, signature }) =>
      pool.verify(publicKey, message, signature),
    )
    await answers[0]
    await pool.crashOne()
    const more = pool.verify(signed[0]!.publicKey, signed[0]!.message, signed[0]!.signature)
    expect(await Promise.all([...answers, more])).toEqual([...signed.map(() => true), true])
    expect(pool.replaced()).toBe(1)
  })

  test('after closing, nobody waits for ever', async () => {
    start(1)
    const answers = signed.map(({ publicKey, message, signature }) =>
      pool.verify(publicKey, message, signature).catch(codeOf),
    )
    await pool.close()
    for (const answer of await Promise.all(answers))
      expect([true, 'agent/no-verifier']).toContain(answer)
    const { publicKey, message, signature } = signed[0]!
    expect(await pool.verify(publicKey, message, signature).catch(codeOf)).toBe('agent/no-verifier')
  })
})
