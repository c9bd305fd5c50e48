/** What a flipped bit in the log of a fog node costs: nothing where signatures prove what it was. */
import { describe, expect, test } from 'vitest'
import type { BlockGroup } from '#fog'
import { fogBench, report, simulatedMeter } from '../support/fog.ts'
import { newDisk } from '../support/fog-store.ts'

/** A node that holds three blocks of a meter, each in a group of its own. */
async function heldBlocks() {
  const disk = newDisk()
  const meter = simulatedMeter('meter-1')
  const bench = fogBench({ disk })
  bench.hello('channel-1', meter)
  for (const count of [3, 2, 4]) {
    bench.up('channel-1', report(meter.block(count)))
    await bench.commit()
  }
  return { disk, bench, meter }
}

type Held = Awaited<ReturnType<typeof heldBlocks>>

function change({ disk }: Held, index: number, into: Partial<BlockGroup>): void {
  disk.groups[index] = { ...disk.groups[index]!, ...into }
}

/** As after a flipped bit that explains other bytes than the ones the meter signed. */
function forge(held: Held, index: number): void {
  const blocks = held.disk.groups[index]!.blocks!.map(({ meterId, body }) => {
    const forged = Uint8Array.from(body)
    forged[forged.length - 3]! ^= 1
    return { meterId, body: forged }
  })
  change(held, index, { blocks, mended: true })
}

const codes = ({ bench }: Pick<Held, 'bench'>) =>
  bench.items().flatMap((item) => (item.type === 'event' ? [item.event.code] : []))

describe('a restart', () => {
  test('goes on with a group that was put right, and says so', async () => {
    const held = await heldBlocks()
    change(held, 1, { mended: true })
    const bench = fogBench({ disk: held.disk })
    expect(bench.fog.meters()[0]?.durable).toBe(9)
    bench.fog.tick()
    expect(codes({ bench })).toContain('log-mended')
  })

  test.each([
    ['that no signature proves', (held: Held) => forge(held, 1)],
    ['beyond mending', (held: Held) => change(held, 1, { blocks: null })],
  ])('stops at one %s', async (_, damage) => {
    const held = await heldBlocks()
    damage(held)
    expect(() => fogBench({ disk: held.disk })).toThrow(
      expect.objectContaining({ code: 'fog/store-damaged' }),
    )
  })
})

describe('readings that another node keeps', () => {
  test('are let go by a group that was put right', async () => {
    const held = await heldBlocks()
    change(held, 1, { mended: true })
    held.bench.fog.withdraw('meter-1', 1, 5)
    expect(held.bench.items().at(-1)).toMatchObject({ withdrawn: { through: 5, readings: 5 } })
  })

  test.each([
    ['that no signature proves', (held: Held) => forge(held, 2)],
    ['beyond mending', (held: Held) => change(held, 2, { blocks: null })],
  ])('stay counted, and are told, behind a group %s', async (_, damage) => {
    const held = await heldBlocks()
    damage(held)
    held.bench.fog.withdraw('meter-1', 1, 9)
    held.bench.fog.tick()
    expect(codes(held)).toContain('not-withdrawn')
    expect(held.bench.items().some(({ type }) => type === 'withdrawn')).toBe(false)
    // What lies before the damage can still go.
    held.bench.fog.withdraw('meter-1', 1, 3)
    expect(held.bench.items().at(-1)).toMatchObject({ withdrawn: { through: 3, readings: 3 } })
  })
})
