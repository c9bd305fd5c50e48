import { mkdtempSync, rmSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toHex } from '#bytes'
import { openFlashStore, type FlashStore } from '#flash-store'
import type { MeterStore } from '#meter'
import { openFlashChip, PowerCut, type FlashChip } from '../../apps/emulator/flash-chip.ts'
import { codeThrown } from '../support/coded.ts'
import { memoryMeter } from '../support/memory-meter.ts'
import { seededRandom } from '../support/random.ts'

const bytes = (...values: number[]) => new Uint8Array(values)

function randomBytes(seed: number) {
  const fraction = seededRandom(seed)
  return (length: number) => Uint8Array.from({ length }, () => fraction() * 256)
}

function chipOf(
  options: { sectors?: number; sectorBytes?: number; seed?: number } = {},
): FlashChip {
  const { sectors = 8, sectorBytes = 1_024, seed = 1 } = options
  return openFlashChip({ sectors, sectorBytes, random: randomBytes(seed) })
}

/** Head, open readings, and the blocks after `through`: receipted ones may come back. */
function picture(store: MeterStore, through: number): string {
  const { head, open } = store.load()
  const blocks = store.read(through + 1, 1_000)
  return JSON.stringify([
    head && toHex(head),
    open.map(toHex),
    blocks.map(({ first, last, body }) => [first, last, toHex(body)]),
  ])
}

const kinds = ['append', 'seal', 'both', 'thin', 'drop', 'refuse', 'raise', 'note'] as const
interface Step {
  kind: (typeof kinds)[number]
  size: number
}
const steps = fc.array(
  fc.record({
    kind: fc.constantFrom<Step['kind']>('append', 'append', 'seal', 'seal', 'drop', ...kinds),
    size: fc.integer({ min: 1, max: 90 }),
  }),
  { minLength: 20, maxLength: 150 },
)

/** Does one step of a meter's life, of which `number` is the next number. */
function act(store: MeterStore & Partial<FlashStore>, { kind, size }: Step, number: number): void {
  const body = new Uint8Array(size).fill(number)
  const oldest = store.read(0, 1)[0]
  if (kind === 'append') store.append(number, body)
  else if (kind === 'seal') store.seal({ first: number, last: number, body }, body)
  else if (kind === 'raise') store.restart(body, number + 5)
  else if (kind === 'note') store.setNote?.('list', body)
  else if (kind === 'drop' && oldest) store.dropThrough(oldest.last)
  else if (kind === 'refuse' && oldest) store.refuse(oldest.first, oldest.last, 'no')
  else if (kind === 'thin') {
    const whole = store.oldestWhole()
    if (whole !== null) store.thin({ ...whole, body: body.subarray(0, 8) })
  } else if (kind === 'both') {
    store.transaction(() => {
      store.seal({ first: number, last: number, body }, body)
      store.append(number + 1, body)
    })
  }
}

/** Plays the steps with the power cut after those many operations; returns how often it was cut. */
function play(chip: FlashChip, todo: readonly Step[], cuts: readonly number[]): number {
  const model = memoryMeter()
  const waiting = [...cuts]
  let store = openFlashStore(chip)
  let [number, through, torn] = [1, 0, 0]
  chip.cutAfter(waiting.shift() ?? Infinity)
  for (const one of todo) {
    // A meter bounds what waits, and what is open.
    const many = model.store.count() > 12 || model.disk().open.length > 8
    const step: Step = many ? { kind: model.store.count() > 12 ? 'drop' : 'seal', size: 20 } : one
    const before = picture(model.store, through)
    if (step.kind === 'drop') through = model.store.read(0, 1)[0]?.last ?? through
    act(model.store, step, number)
    try {
      act(store, step, number)
    } catch (error) {
      if (!(error instanceof PowerCut)) throw error
      torn += 1
      chip.powerOn()
      store = openFlashStore(chip)
      const found = picture(store, through)
      // What a receipt let go may have come back; the next receipt says so again.
      store.dropThrough(through)
      // Neither: then what follows differs from the model.
      if (found === before) act(store, step, number)
      chip.cutAfter(waiting.shift() ?? Infinity)
    }
    expect(picture(store, through)).toBe(picture(model.store, through))
    store.dropThrough(through)
    number += 10
  }
  return torn
}

describe('flash store', () => {
  test('holds what a store in memory would, over restarts', () => {
    const chip = chipOf()
    const store = openFlashStore(chip)
    for (let last = 1; last <= 5; last++) {
      store.seal({ first: last, last, body: bytes(last, last) }, bytes(last))
    }
    const counts = (s: MeterStore = store) => [s.count(), s.whole(), s.oldestWhole()?.last ?? null]
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
    expect(counts()).toEqual([5, 3, 3])
    store.dropThrough(1)
    store.append(6, bytes(6))
    store.setNote('x', bytes(7))
    store.dropThrough(2)
    expect(counts(openFlashStore(chip))).toEqual([4, 3, 3])
    store.flush()
    expect(counts(openFlashStore(chip))).toEqual([3, 3, 3])
    const again = openFlashStore(chip)
    expect(again.read(1, 2).map(({ body }) => [...body])).toEqual([
      [3, 3],
      [4, 4],
    ])
    expect(again.load()).toEqual({ head: bytes(5), open: [bytes(6)], next: 7 })
    expect(again.note('x')).toEqual(bytes(7))
    expect(again.note('y')).toBeNull()
  })

  test('after a power cut anywhere: what it was before the call or after it, never between', () => {
    const cuts = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 12 })
    let torn = 0
    fc.assert(
      fc.property(steps, cuts, fc.nat(), (todo, operations, seed) => {
        torn += play(chipOf({ seed }), todo, operations)
      }),
      { numRuns: 150 },
    )
    expect(torn).toBeGreaterThan(100)
  })

  test('a flash that forgets what it was told is found out', () => {
    const forgetful = chipOf()
    const program = forgetful.program.bind(forgetful)
    let writes = 0
    const chip = {
      ...forgetful,
      // The sixth write is acknowledged and lost.
      program: (at: number, data: Uint8Array) => void (++writes === 6 || program(at, data)),
    } as FlashChip
    const todo = Array.from({ length: 30 }, (): Step => ({ kind: 'append', size: 9 }))
    expect(() => play(chip, todo, [])).toThrow('to be')
  })

  test('wears all sectors alike, also while blocks wait for a long time', () => {
    const chip = chipOf({ sectors: 12 })
    const store = openFlashStore(chip)
    for (let n = 1; n <= 3_000; n++) {
      store.seal({ first: n, last: n, body: new Uint8Array(100).fill(n) }, bytes(n & 255))
      // 40 blocks of 100 bytes are half of what there is room for.
      if (store.count() > 40) store.dropThrough(store.oldest()!)
    }
    const held = store.read(0, 50)
    expect(held).toHaveLength(40)
    expect(openFlashStore(chip).read(held[0]!.first, 50)).toEqual(held)
    const [least, most] = [Math.min(...chip.erases), Math.max(...chip.erases)]
    expect(least).toBeGreaterThan(20)
    expect(most - least).toBeLessThanOrEqual(1)
  })

  test('blocks that stay while everything else moves on are moved out of the way', () => {
    const chip = chipOf({ sectors: 8 })
    const store = openFlashStore(chip)
    for (let n = 1; n <= 5; n++) {
      store.seal({ first: n, last: n, body: new Uint8Array(200).fill(n) }, bytes(n))
    }
    store.thin({ first: 2, last: 2, body: bytes(22) })
    for (let n = 6; n < 900; n++) {
      store.append(n, new Uint8Array(60))
      if (n % 10 === 0) store.restart(bytes(1), n + 1)
    }
    expect(Math.min(...chip.erases)).toBeGreaterThan(3)
    const held = openFlashStore(chip)
    expect(held.read(1, 9).map(({ last, body }) => [last, body[0], body.length])).toEqual([
      [1, 1, 200],
      [2, 22, 1],
      [3, 3, 200],
      [4, 4, 200],
      [5, 5, 200],
    ])
    expect([held.count(), held.whole()]).toEqual([5, 4])
  })

  test('says that it is full, loses nothing and goes on when there is room again', () => {
    const chip = chipOf({ sectors: 6 })
    const store = openFlashStore(chip)
    let last = 0
    const fill = () => {
      for (;;) {
        store.seal({ first: last + 1, last: last + 1, body: new Uint8Array(100) }, bytes(1))
        last += 1
      }
    }
    expect(codeThrown(fill)).toBe('flash/full')
    const held = openFlashStore(chip).count()
    expect(held).toBeGreaterThanOrEqual(last)
    expect(held).toBeLessThanOrEqual(last + 1)
    store.dropThrough(last - 5)
    store.seal({ first: last + 2, last: last + 2, body: bytes(1) }, bytes(2))
    expect(openFlashStore(chip).read(0, 99).at(-1)?.last).toBe(last + 2)
    expect(codeThrown(() => store.setNote('x', new Uint8Array(2_000)))).toBe('flash/too-large')
    expect(codeThrown(() => openFlashStore(chipOf({ sectors: 3 })))).toBe('flash/full')
  })
})

describe('flash chip', () => {
  test('keeps content and wear in its file; a torn file is refused', () => {
    const folder = mkdtempSync(join(tmpdir(), 'fogmeter-flash-'))
    try {
      const path = join(folder, 'flash.bin')
      const options = { sectors: 6, sectorBytes: 1_024, random: randomBytes(1), path }
      const chip = openFlashChip(options)
      openFlashStore(chip).append(1, bytes(1, 2, 3))
      chip.close()
      const again = openFlashChip(options)
      expect(openFlashStore(again).load().open).toEqual([bytes(1, 2, 3)])
      expect([...again.erases]).toEqual([1, 0, 0, 0, 0, 0])
      again.close()
      truncateSync(path, 1_000)
      expect(codeThrown(() => openFlashChip(options))).toBe('emulator/bad-flash')
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  test('programming cannot bring a bit back', () => {
    const chip = chipOf()
    chip.erase(0)
    chip.program(0, bytes(0x0f))
    expect(() => chip.program(0, bytes(0xf0))).toThrow('without having been erased')
    chip.program(0, bytes(0x01))
    expect(chip.read(0, 2)).toEqual(bytes(0x01, 0xff))
  })
})
