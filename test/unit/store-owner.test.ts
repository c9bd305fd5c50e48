import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openCloudQueries, openCloudStore } from '#cloud-store'
import { openFogStore } from '#fog-store'
import { openMeterStore } from '#meter-store'
import { codeThrown } from '../support/coded.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fogmeter-owner-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const clock = { now: () => 0 }
const openers: Record<string, (path: string) => void> = {
  agent: (path) => openFogStore(path, clock).close(),
  cloud: (path) => openCloudStore(path).database.close(),
  meter: (path) => openMeterStore(path).close(),
}

/** A store.path copied from another program's file: both would write, each in its own schema. */
test('no program opens, let alone migrates, the store of another', () => {
  for (const [kind, make] of Object.entries(openers)) {
    const path = join(folder, `${kind}.db`)
    make(path)
    const before = readFileSync(path)
    for (const [other, open] of Object.entries(openers)) {
      if (other === kind) continue
      expect(codeThrown(() => open(path))).toBe('sqlite/wrong-store')
      expect(() => open(path)).toThrow(`the store of program ${kind}, not of ${other}`)
    }
    expect(readFileSync(path)).toEqual(before)
    make(path)
  }
})

test('questions are not put to a store that is not the cloud’s', () => {
  const path = join(folder, 'fog.db')
  openFogStore(path, clock).close()
  expect(codeThrown(() => openCloudQueries(path))).toBe('sqlite/wrong-store')
})

/** A card copied for a second Pi: its sums would count once more under the second name. */
test('a fog node or a cloud does not take up the store of another', () => {
  const fog = join(folder, 'fog.db')
  openFogStore(fog, clock, 10, 'fog-1').close()
  expect(codeThrown(() => openFogStore(fog, clock, 10, 'fog-2'))).toBe('sqlite/wrong-store')
  openFogStore(fog, clock, 10, 'fog-1').close()
  const cloud = join(folder, 'cloud.db')
  openCloudStore(cloud, 'cloud-a').database.close()
  expect(codeThrown(() => openCloudStore(cloud, 'cloud-b'))).toBe('sqlite/wrong-store')
  openCloudStore(cloud, 'cloud-a').database.close()
})
