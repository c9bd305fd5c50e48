import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { nodeCrypto } from '#crypto-node'
import { defaults } from '#defaults'
import { CodedError } from '#errors'
import { createMeter, meterDefaults, type Meter } from '#meter'
import { openMeterStore, type MeterStoreFile } from '#meter-store'
import { decodeBlock, firstChain, verifyStatement } from '#reading'
import { openDatabase } from '#sqlite'
import { migrations } from '../../libs/meter-store/schema.ts'

let folder: string
let path: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-meter-store-'))
  path = join(folder, 'meter.db')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const key = nodeCrypto.signingKey(new Uint8Array(32).fill(9))
const verifyKey = nodeCrypto.verifyKey(key.publicKey)
const bytes = (...values: number[]) => new Uint8Array(values)

function openMeter(file: MeterStoreFile, deviceId: string): Meter {
  return createMeter({
    crypto: nodeCrypto,
    key,
    deviceId,
    clock: { now: () => 0, monotonic: () => 0 },
    store: file.meter(deviceId),
    settings: { ...meterDefaults, mode: 'block', maxReadings: 4 },
  })
}

/** Rows of a table, read the way another process would. */
function rows(table: string): number {
  const database = openDatabase(path, { migrations, readonly: true })
  try {
    return database.prepare<{ n: number }>(`SELECT count(*) AS n FROM ${table}`).get()?.n ?? -1
  } finally {
    database.close()
  }
}

describe('meter store', () => {
  test('blocks without readings are counted apart, over receipts, rollbacks and restarts', () => {
    const file = openMeterStore(path)
    const store = file.meter('a')
    for (let last = 1; last <= 5; last++) {
      store.seal({ first: last, last, body: bytes(last, last) }, bytes(last))
    }
    const counts = (s = store) => [s.count(), s.whole(), s.oldestWhole()?.last ?? null]
    expect(counts()).toEqual([5, 5, 1])
    store.thin({ first: 1, last: 1, body: bytes(91) })
    store.thin({ first: 2, last: 2, body: bytes(92) })
    expect(counts()).toEqual([5, 3, 3])
    expect(() =>
      store.transaction(() => {
        store.thin({ first: 3, last: 3, body: bytes(93) })
        throw new Error('no')
      }),
    ).toThrow('no')
    store.load()
    expect(counts()).toEqual([5, 3, 3])
    store.dropThrough(1)
    expect(counts()).toEqual([4, 3, 3])
    file.close()
    const again = openMeterStore(path)
    expect(counts(again.meter('a'))).toEqual([4, 3, 3])
    expect(
      again
        .meter('a')
        .read(1, 2)
        .map(({ body }) => [...body]),
    ).toEqual([[92], [3, 3]])
    again.meter('a').dropThrough(4)
    expect(counts(again.meter('a'))).toEqual([1, 1, 5])
    again.close()
  })

  test('gives back what was written, after closing', () => {
    const file = openMeterStore(path)
    const store = file.meter('a')
    store.append(1, bytes(1))
    store.append(2, bytes(2))
    store.seal({ first: 1, last: 2, body: bytes(12) }, bytes(0xaa))
    store.append(3, bytes(3))
    file.setNote('x', bytes(5))
    file.close()
    const again = openMeterStore(path)
    expect(again.meter('a').load()).toEqual({ head: bytes(0xaa), open: [bytes(3)], next: 3 })
    expect(
      again
        .meter('a')
        .read(1, 9)
        .map(({ first, last }) => [first, last]),
    ).toEqual([[1, 2]])
    expect(again.note('x')).toEqual(bytes(5))
    expect(again.note('y')).toBeNull()
    again.close()
  })

  test('counts, oldest and read follow receipts at once, the disk follows later', () => {
    const file = openMeterStore(path)
    const store = file.meter('a')
    for (let n = 1; n <= 5; n++) store.seal({ first: n, last: n, body: bytes(n) }, bytes(n))
    store.dropThrough(3)
    expect([store.count(), store.oldest(), store.read(1, 9).length]).toEqual([2, 4, 2])
    expect(rows('block')).toBe(5)
    store.seal({ first: 6, last: 6, body: bytes(6) }, bytes(6))
    expect(rows('block')).toBe(3)
    expect([store.count(), store.oldest()]).toEqual([3, 4])
    store.dropThrough(6)
    expect([store.count(), store.oldest()]).toEqual([0, null])
    file.close()
    expect(rows('block')).toBe(0)
  })

  test('a refused block leaves the outbox and is kept with its reason', () => {
    const file = openMeterStore(path)
    const store = file.meter('a')
    store.seal({ first: 1, last: 4, body: bytes(1) }, bytes(1))
    store.seal({ first: 5, last: 8, body: bytes(2) }, bytes(2))
    store.refuse(1, 4, 'fog/bad-signature')
    expect([store.count(), store.oldest()]).toEqual([1, 5])
    expect(file.refused('a', 10)).toEqual([{ first: 1, last: 4, code: 'fog/bad-signature' }])
    file.close()
  })

  test('refused blocks are kept up to a number, the oldest go', () => {
    const file = openMeterStore(path)
    const store = file.meter('a')
    const most = defaults.refusedKept
    file.transaction(() => {
      for (let n = 1; n <= most + 5; n++) {
        store.seal({ first: n, last: n, body: bytes(1) }, bytes(1))
        store.refuse(n, n, 'fog/bad-signature')
      }
    })
    const kept = file.refused('a', 2 * most)
    expect([kept.length, kept[0]?.first, kept.at(-1)?.first]).toEqual([most, most + 5, 6])
    file.close()
  })

  test('meters of one file do not see each other, and commit together or not at all', () => {
    const file = openMeterStore(path)
    const [a, b] = [file.meter('a'), file.meter('b')]
    a.append(1, bytes(1))
    const both = () =>
      file.transaction(() => {
        a.append(2, bytes(2))
        b.append(1, bytes(3))
        throw new Error('no')
      })
    expect(both).toThrow('no')
    expect(a.load().open).toEqual([bytes(1)])
    expect(b.load().open).toEqual([])
    file.close()
  })

  test('cleaning dead readings never takes an open one, also of a meter that is not running', () => {
    const file = openMeterStore(path)
    file.meter('idle').append(1, bytes(7))
    file.close()
    const again = openMeterStore(path)
    const busy = again.meter('busy')
    again.transaction(() => {
      for (let n = 1; n <= 3_000; n++) {
        busy.append(n, bytes(1))
        if (n % 10 === 0) busy.seal({ first: n - 9, last: n, body: bytes(1) }, bytes(1))
        if (n % 50 === 0) busy.dropThrough(n)
      }
    })
    expect(again.meter('idle').load().open).toEqual([bytes(7)])
    again.meter('idle').seal({ first: 1, last: 1, body: bytes(1) }, bytes(1))
    again.transaction(() => {
      for (let n = 3_001; n <= 5_000; n++) {
        busy.append(n, bytes(1))
        if (n % 10 === 0) busy.seal({ first: n - 9, last: n, body: bytes(1) }, bytes(1))
      }
    })
    expect(rows('reading')).toBeLessThan(1_100)
    again.close()
  })

  test('the whole meter on it, with crashes and failed commits anywhere', () => {
    const step = fc.constantFrom('measure', 'measure', 'measure', 'crash', 'rollback')
    let run = 0
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const own = join(folder, `${run++}.db`)
        let file = openMeterStore(own)
        let meter = openMeter(file, 'a')
        let stored = 0
        steps.forEach((what, i) => {
          const m = { timeS: 1_800_000_001 + i, powerW: i }
          if (what === 'crash') {
            file.close()
            file = openMeterStore(own)
            meter = openMeter(file, 'a')
          } else if (what === 'measure') {
            meter.measure(m)
            stored += 1
          } else {
            const failing = () =>
              file.transaction(() => {
                meter.measure(m)
                throw new CodedError('test/no', 'the commit failed')
              })
            if (!throws(failing)) throw new Error('a failed commit must not pass for a good one')
            meter.reload()
          }
        })
        meter.closeBlock()
        expect(checkBlocks(file)).toBe(stored)
        file.close()
      }),
      { numRuns: 25 },
    )
  })
})

function throws(work: () => void): boolean {
  try {
    work()
    return false
  } catch {
    return true
  }
}

/** All blocks verify, follow each other, and hold the numbers from 1 once each; returns the last. */
function checkBlocks(file: MeterStoreFile): number {
  let chain = firstChain(nodeCrypto, 'a')
  const numbers: number[] = []
  for (const { body } of file.meter('a').read(1, 10_000)) {
    const block = decodeBlock(nodeCrypto, new Uint8Array(body), 'a')
    expect(verifyStatement(verifyKey, block.statement, block.signature)).toBe(true)
    expect(block.statement.previousChain).toEqual(chain)
    chain = block.statement.chain
    numbers.push(...block.readings.map((reading) => reading.number))
  }
  expect(numbers).toEqual(numbers.map((_, index) => index + 1))
  return numbers.length
}

const writer = fileURLToPath(import.meta.resolve('../support/meter-writer.ts'))

test('SIGKILL: every number a process reported as stored is there, and the chain verifies', async () => {
  const child = spawn(process.execPath, [writer, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let reported = 0
  for await (const line of createInterface({ input: child.stdout })) {
    reported = Number(line)
    if (reported >= 203) break
  }
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
  const file = openMeterStore(path)
  const meter = openMeter(file, 'a')
  const stored = meter.status().newestNumber
  expect(stored).toBeGreaterThanOrEqual(reported)
  meter.closeBlock()
  expect(checkBlocks(file)).toBe(stored)
  file.close()
})
