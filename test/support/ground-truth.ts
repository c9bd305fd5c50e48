import { nodeCrypto } from '#crypto-node'
import { openCloudQueries } from '#cloud-store'
import { readJournal } from '#fog-store'
import { fromUtf8 } from '#bytes'
import { loadExcerpt, type ExcerptDay } from '#household'
import { openMeterStore } from '#meter-store'
import type { Cluster } from '../../apps/demo/cluster.ts'

const DAY_S = 86_400
const MINUTE_S = 60

/**
 * Adds up the household data itself, minute by minute, from the moment each meter began to its
 * newest reading, and compares that with the register the cloud holds. Independent of every program
 * under test but for the two times. Returns the disagreements in words.
 */
export async function groundTruth(cluster: Cluster): Promise<string[]> {
  const days = await loadExcerpt()
  const newestTimeS = newestReadings(cluster)
  const { queries, close } = openCloudQueries(cluster.cloudStore)
  const registers = new Map(queries.accounting().meters.map((row) => [row.meter, row.importWh]))
  close()
  return cluster.meters.flatMap(({ name, store }, house) => {
    const endS = newestTimeS.get(name)
    if (endS === undefined) return [`${name}: no reading in any journal`]
    const span = { fromS: anchorS(store), toS: endS, intervalSeconds: intervalS(cluster) }
    const expected = energyWh(days, house, span)
    const found = registers.get(name)
    return found === expected
      ? []
      : [`${name}: ${expected} Wh by the data, ${found} Wh at the cloud`]
  })
}

function newestReadings({ fogs }: Cluster): Map<string, number> {
  const newest = new Map<string, number>()
  for (const { store } of fogs) {
    readJournal(store, nodeCrypto, ({ deviceId, block }) => {
      for (const { timeS } of block.readings)
        newest.set(deviceId, Math.max(timeS, newest.get(deviceId) ?? 0))
    })
  }
  return newest
}

/** When the meter's household began, as the meter's program wrote it down. */
function anchorS(path: string): number {
  const file = openMeterStore(path)
  const note = file.note('timeline')
  file.close()
  const { anchorS: start } = JSON.parse(fromUtf8(note ?? new Uint8Array())) as { anchorS: number }
  return start
}

function intervalS({ plan }: Cluster): number {
  return Number(/interval_seconds = (\d+)/.exec(plan.source)?.[1])
}

/**
 * A reading's power is the rounded mean of the minutes that begin in its interval; intervals
 * without any minute count nothing. Energy is the sum of power times interval, whole watt-hours.
 */
function energyWh(
  days: readonly ExcerptDay[],
  house: number,
  { fromS, toS, intervalSeconds }: { fromS: number; toS: number; intervalSeconds: number },
): number {
  const firstDay = Math.floor(fromS / DAY_S)
  let wattSeconds = 0
  for (let endS = fromS + intervalSeconds; endS <= toS; endS += intervalSeconds) {
    const powers: number[] = []
    for (
      let s = Math.ceil((endS - intervalSeconds) / MINUTE_S) * MINUTE_S;
      s < endS;
      s += MINUTE_S
    ) {
      const day = days[(house + Math.floor(s / DAY_S) - firstDay) % days.length]
      const minute = Math.floor((s % DAY_S) / MINUTE_S)
      const sample = day?.samples.find((candidate) => candidate.minute === minute)
      if (sample) powers.push(sample.powerW)
    }
    if (powers.length === 0) continue
    const mean = Math.round(powers.reduce((sum, power) => sum + power, 0) / powers.length)
    wattSeconds += mean * intervalSeconds
  }
  return Math.floor(wattSeconds / 3_600)
}
