import { beforeAll, describe, expect, test } from 'vitest'
import { utf8 } from '#bytes'
import { nodeCrypto } from '#crypto-node'
import { bundleEntry, loadFirmware, type LoadedFirmware } from '../../apps/emulator/build.ts'
import { Exhausted } from '../../apps/emulator/firmware/memory.ts'
import { compileFirmware, startMachine, startScript } from '../../apps/emulator/vm.ts'
import { createChipBench, type ChipBench } from '../support/chip-bench.ts'

const KIB = 1_024

/** A quarter of an hour in one life: readings, a signed block, a handshake, a receipt. */
async function live(loaded: LoadedFirmware, memoryBytes: number, bench: ChipBench): Promise<void> {
  const { host, provision } = bench
  const machine = await startMachine({ ...loaded, memoryBytes, host, provision })
  try {
    for (let i = 0; i < 16; i++) bench.measure(machine.firmware)
    bench.deliver(machine.firmware)
  } finally {
    machine.dispose()
  }
}

/** How such a life ends; anything but `Exhausted` is told as it is. */
async function endOf(loaded: LoadedFirmware, memoryBytes: number, bench = createChipBench()) {
  const before = bench.held()
  try {
    await live(loaded, memoryBytes, bench)
  } catch (error) {
    return error instanceof Exhausted ? 'exhausted' : String(error)
  } finally {
    // A signature that was not judged would be an untrusted peer, a block that was not kept a gap.
    const said = bench.events.map(({ event, code }) =>
      `${event} ${JSON.stringify(code) ?? ''}`.trim(),
    )
    expect(said.filter((words) => !/^(open|delivered)$/.test(words))).toEqual([])
  }
  return bench.held() > before ? 'delivered' : 'not delivered'
}

describe.each([
  // From where the code itself hardly fits, to where everything works.
  { variant: 'small', from: 390, to: 520 },
  { variant: 'noble', from: 600, to: 900 },
] as const)('memory of a chip, $variant', ({ variant, from, to }) => {
  let loaded: LoadedFirmware
  beforeAll(async () => {
    loaded = await loadFirmware(variant)
  })

  test('too little ends as a shortage and as nothing else, at any size', async () => {
    let [least, most] = [from * KIB, to * KIB]
    expect(await endOf(loaded, least)).toBe('exhausted')
    expect(await endOf(loaded, most)).toBe('delivered')
    while (most - least > 4 * KIB) {
      const middle = (least + most) >> 1
      const end = await endOf(loaded, middle)
      expect(['exhausted', 'delivered']).toContain(end)
      if (end === 'delivered') most = middle
      else least = middle
    }
    // Below the size that is enough, closely: there the shortage comes in the middle of something.
    for (let bytes = most - 40 * KIB; bytes < most + 2 * KIB; bytes += 5_000) {
      expect(['exhausted', 'delivered']).toContain(await endOf(loaded, bytes))
    }
  }, 300_000)

  test('after a shortage the next life goes on from the flash, with nothing lost', async () => {
    const bench = createChipBench()
    const ends: string[] = []
    for (let kib = from; kib <= to; kib += (to - from) / 6) {
      ends.push(await endOf(loaded, kib * KIB, bench))
    }
    ends.push(await endOf(loaded, to * KIB, bench))
    expect(new Set(ends)).toEqual(new Set(['exhausted', 'delivered']))
    const numbers = bench.readings().map(({ number }) => number)
    expect(numbers.length).toBeGreaterThan(14)
    expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, i) => i + 1))
  }, 300_000)
})

describe('a list of revoked credentials', () => {
  // About the longest that a chip takes, and longer ones.
  test.each([47, 55])(
    'of %i: taken, or left to the fog node, or a shortage, but not now this and now that',
    async (revoked) => {
      const loaded = await loadFirmware('small')
      const ends = new Set<string>()
      for (let kib = 480; kib <= 540; kib += 10) {
        const bench = createChipBench({ revoked })
        try {
          await live(loaded, kib * KIB, bench)
          ends.add(bench.events.map(({ event }) => event).join(' '))
        } catch (error) {
          if (!(error instanceof Exhausted)) throw error
        }
      }
      const taken = revoked < 48
      expect([...ends]).toEqual([taken ? 'open revocations delivered' : 'open delivered'])
    },
    120_000,
  )
})

describe('a signature check without memory', () => {
  const key = nodeCrypto.signingKey(new Uint8Array(32).fill(5))
  const message = utf8('a reading')
  const signature = key.sign(message)
  const sizes = [160, 220, 300, 380, 440, 520, 600, 700].map((kib) => kib * KIB)

  /** What it says of a good signature at each size. */
  async function verdicts(entry: string): Promise<Set<string>> {
    const { wasm } = await loadFirmware('records')
    const bytecode = await compileFirmware(wasm, await bundleEntry(entry))
    const said = new Set<string>()
    for (const memoryBytes of sizes) {
      said.add(await verdict({ wasm, bytecode, memoryBytes }))
    }
    return said
  }

  async function verdict(options: Parameters<typeof startScript>[0]): Promise<string> {
    try {
      const signed = [message, signature, key.publicKey]
      return String((await startScript(options, 'verify', signed)).value)
    } catch (error) {
      return error instanceof Exhausted ? 'exhausted' : String(error)
    }
  }

  test('says "wrong" of a good one, when it is left to itself', async () => {
    const said = await verdicts('test/support/verify-alone.ts')
    expect(said).toEqual(new Set(['exhausted', 'false', 'true']))
  }, 120_000)

  test('is not begun by the firmware', async () => {
    const said = await verdicts('test/support/verify-guarded.ts')
    expect(said).toEqual(new Set(['exhausted', 'true']))
  }, 120_000)
})
