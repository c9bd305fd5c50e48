/** What a fog node has promised to its meter, and whether it still has it. */
import { join } from 'node:path'
import BetterSqlite3 from 'better-sqlite3'
import { nativeCrypto } from '#crypto-native'
import { readJournal } from '#fog-store'

export interface Promises {
  /** Readings up to this number were receipted: the meter has let go of them. */
  acknowledged: number
  /** Readings that the cloud has counted. */
  counted: number
}

const stores = {
  agent: 'var/lib/fogmeter/agent/fog.db',
  cloud: 'var/lib/fogmeter/cloud/cloud.db',
  meter: 'var/lib/fogmeter/meter/meter-0001/meter.db',
}

/** While the programs run: only what is committed is seen then. */
export function promisesOf(root: string): Promises {
  const outbox = 'SELECT coalesce((SELECT min(first) FROM block), (SELECT next FROM meter)) - 1'
  return {
    acknowledged: numberIn(join(root, stores.meter), outbox),
    counted: numberIn(join(root, stores.cloud), 'SELECT coalesce(sum(readings), 0) FROM fog'),
  }
}

function numberIn(path: string, sql: string): number {
  const handle = new BetterSqlite3(path, { readonly: true, fileMustExist: true })
  try {
    return Number(handle.prepare(sql).pluck().get())
  } finally {
    handle.close()
  }
}

/** Number → content of every reading that the fog node holds under a signature. */
export function readingsOf(root: string): Map<number, string> {
  const found = new Map<number, string>()
  readJournal(join(root, stores.agent), nativeCrypto, ({ block }) => {
    for (const reading of block.readings) found.set(reading.number, JSON.stringify(reading))
  })
  return found
}

/** Every broken promise in words. */
export function broken(
  promised: Promises & { readings: ReadonlyMap<number, string> },
  root: string,
): string[] {
  const now = promisesOf(root)
  const there = readingsOf(root)
  const gone: number[] = []
  for (const [number, content] of promised.readings)
    if (number <= promised.acknowledged && there.get(number) !== content) gone.push(number)
  return [
    ...(gone.length === 0 ? [] : [`acknowledged readings are gone or changed: ${gone.join(' ')}`]),
    ...(now.counted < promised.counted
      ? [`the cloud had counted ${promised.counted} readings and has ${now.counted}`]
      : []),
  ]
}
