import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import * as fc from 'fast-check'
import { afterEach, beforeAll, afterAll, beforeEach, describe, expect, test } from 'vitest'
import { toHex } from '#bytes'
import type { Item } from '#messages'
import { damagedWorld, flipBit, outboxRows, typeOf } from '../support/damaged-outbox.ts'
import type { OutboxRow } from '../support/damaged-outbox.ts'

type World = ReturnType<typeof damagedWorld>

/** What the cloud has when all of it has arrived, but for the numbers under which it came. */
function held({ contents }: World) {
  const windows = contents.summaries.filter(({ latest }) => latest).map(({ summary }) => summary)
  const registers = contents.registers.map(({ statement, envelope }) => {
    return `${statement.deviceId} ${statement.last} ${toHex(envelope)}`
  })
  return {
    windows: windows.toSorted((a, b) => a.startS - b.startS),
    registers: registers.toSorted(),
    runs: contents.runs
      .map(({ deviceId, first, last }) => `${deviceId} ${first} ${last}`)
      .toSorted(),
  }
}

const damage = ({ contents }: World) =>
  contents.events.filter(({ code }) => code === 'item-damaged').map(({ detail }) => detail)

let folder: string
let filled: string
/** What a cloud has from a node on whose disk nothing flipped. */
let expected: ReturnType<typeof held>
let rows: OutboxRow[]
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-damaged-'))
  filled = join(folder, 'filled.db')
  const world = damagedWorld(filled)
  await world.fill()
  world.close()
  rows = outboxRows(filled)
  const sound = openCopy()
  sound.forward()
  expected = held(sound)
  sound.close()
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

let path: string
let opened: World[] = []
beforeEach(() => {
  opened = []
})
afterEach(() => {
  for (const world of opened) world.close()
})

function openCopy(change: (path: string) => void = () => undefined): World {
  path = join(mkdtempSync(join(folder, 'copy-')), 'fog.db')
  copyFileSync(filled, path)
  change(path)
  return damagedWorld(path)
}

function open(change: (path: string) => void): World {
  const world = openCopy(change)
  opened.push(world)
  return world
}

const rowOf = (type: Item['type'], which = 0): OutboxRow => {
  const row = rows.filter((candidate) => typeOf(candidate) === type).at(which)
  if (row === undefined) throw new Error(`no ${type} in the outbox`)
  return row
}

/** Somewhere in the middle of what stands behind the checksum. */
const middle = ({ body }: OutboxRow) => 8 * Math.floor((body.length + 5) / 2)

test('a node on whose disk nothing flipped says nothing of damage', () => {
  const sound = open(() => undefined)
  sound.forward()
  expect(damage(sound)).toEqual([])
})

describe('a damaged row of the outbox', () => {
  test('costs nothing where the store can say the same again', () => {
    const types = new Set(rows.map(typeOf))
    expect([...types].toSorted()).toEqual(['credential', 'event', 'gap', 'register', 'summary'])
    for (const type of ['summary', 'register', 'credential'] as const) {
      const row = rowOf(type)
      const world = open((file) => flipBit(file, row, middle(row)))
      world.forward()
      expect(held(world)).toEqual(expected)
      expect(damage(world)).toEqual([
        expect.stringMatching(
          new RegExp(`^outbox item ${row.number}, .*, was damaged on disk: made again$`),
        ),
      ])
      expect(world.fog.counters().damagedItems).toEqual({ madeAgain: 1, lost: 0 })
      expect(world.store.backlog().items).toBe(0)
    }
  })

  test('is named to the cloud as a hole, kept to be looked at, and not sent', () => {
    const row = rowOf('summary')
    const world = open((file) => flipBit(file, row, middle(row)))
    world.forward()
    const { contents } = world
    expect(contents.events).toContainEqual(
      expect.objectContaining({
        code: 'items-given-up',
        detail: expect.stringContaining(`outbox numbers ${row.number} to ${row.number}:`) as string,
      }),
    )
    expect(contents.refused).toEqual([])
    const raw = new BetterSqlite3(path, { readonly: true })
    expect(raw.prepare('SELECT number, code FROM refused').all()).toEqual([
      { number: row.number, code: 'fog/item-damaged' },
    ])
    raw.close()
  })

  test('an older register comes back from the log, with the signature of its meter', () => {
    const row = rowOf('register')
    const world = open((file) => flipBit(file, row, 8 * (row.body.length - 3)))
    world.forward()
    expect(held(world)).toEqual(expected)
    expect(damage(world)).toEqual([
      expect.stringContaining('a register of meter-1 up to reading 6'),
    ])
  })

  test('an older register whose blocks are pruned is lost, and said to be', () => {
    const row = rowOf('register')
    const world = open((file) => flipBit(file, row, 8 * (row.body.length - 3)))
    expect(world.store.prune(Number.MAX_SAFE_INTEGER)).toBeGreaterThan(0)
    world.forward()
    const found = held(world)
    expect(found.windows).toEqual(expected.windows)
    expect(found.registers).toHaveLength(expected.registers.length - 1)
    expect(expected.registers).toEqual(expect.arrayContaining(found.registers))
    expect(damage(world)).toEqual([expect.stringContaining('it is lost')])
    expect(world.fog.counters().damagedItems).toEqual({ madeAgain: 0, lost: 1 })
  })

  test.each(['event', 'gap'] as const)('what only describes (%s) goes again as it read', (type) => {
    const row = rowOf(type)
    const world = open((file) => flipBit(file, row, 8 * (row.body.length - 1)))
    world.forward()
    expect(held(world)).toEqual(expected)
    expect(world.contents.gaps).toMatchObject([{ deviceId: 'meter-2', kind: 'missing', first: 13 }])
    const about = world.contents.events.filter(({ deviceId }) => deviceId === 'meter-2')
    expect(about.map(({ code }) => code).toSorted()).toEqual(['gap', 'item-damaged'])
    expect(damage(world)).toEqual([expect.stringContaining(`outbox item ${row.number}, a`)])
  })

  test('what cannot be read any more is lost unless the store can make it again', () => {
    const [summary, event] = [rowOf('summary'), rowOf('event')]
    const world = open((file) => {
      for (const row of [summary, event])
        flipBit(file, row, 8 * (row.body.length - 1), 8 * (row.body.length - 2))
    })
    world.forward()
    expect(held(world)).toEqual(expected)
    const codes = world.contents.events.map(({ code }) => code)
    expect(codes).not.toContain('gap')
    expect(damage(world)).toHaveLength(2)
    expect(world.fog.counters().damagedItems).toEqual({ madeAgain: 0, lost: 2 })
  })

  test('the newest one of all, and several in a row', () => {
    const last = rows.slice(-4)
    const world = open((file) => {
      for (const row of last) flipBit(file, row, middle(row))
    })
    world.forward()
    expect(held(world)).toEqual(expected)
    expect(damage(world)).toHaveLength(last.length)
    expect(world.store.backlog().items).toBe(0)
  })

  test('stays where it is while the disk takes no writes, and stops nothing but the outbox', () => {
    const row = rowOf('summary')
    const world = open((file) => flipBit(file, row, middle(row)))
    const disk = new BetterSqlite3(path)
    disk.exec("CREATE TRIGGER worn BEFORE DELETE ON outbox BEGIN SELECT RAISE(ABORT, 'worn'); END")
    const before = world.store.outbox.read(1, 1_000).length
    expect(before).toBe(row.number - 1)
    expect(() => world.fog.tick()).toThrow(/worn/)
    expect(world.store.outbox.read(1, 1_000)).toHaveLength(before)
    expect(world.store.outbox.next()).toBe(rows.length + 1)
    expect(world.fog.counters().damagedItems).toEqual({ madeAgain: 0, lost: 0 })
    disk.exec('DROP TRIGGER worn')
    disk.close()
    world.forward()
    expect(held(world)).toEqual(expected)
    expect(damage(world)).toHaveLength(1)
  })

  test('property: whichever bit of whichever rows, the same windows and registers arrive', () => {
    const flips = fc.uniqueArray(
      fc.record({ row: fc.nat(rows.length - 1), at: fc.double({ min: 0, max: 1, noNaN: true }) }),
      { minLength: 1, maxLength: 4, selector: ({ row }) => row },
    )
    fc.assert(
      fc.property(flips, (chosen) => {
        const world = openCopy((file) => {
          for (const { row, at } of chosen) {
            const bits = 8 * rows[row]!.body.length
            flipBit(file, rows[row]!, Math.min(bits - 1, Math.floor(at * bits)))
          }
        })
        try {
          world.forward()
          expect(held(world)).toEqual(expected)
          expect(damage(world)).toHaveLength(chosen.length)
          expect(world.contents.refused).toEqual([])
          expect(world.store.backlog().items).toBe(0)
        } finally {
          world.close()
        }
      }),
      { numRuns: 60 },
    )
  })
})
