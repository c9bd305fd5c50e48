import { join } from 'node:path'
import { openCloudQueries, type Accounting } from '#cloud-store'
import { nativeCrypto } from '#crypto-native'
import { readJournal } from '#fog-store'
import { loadIdentity } from '#identity'
import { createMeter, meterDefaults, type MeterStatus } from '#meter'
import { openMeterStore } from '#meter-store'
import { systemClock } from '#service'
import type { Cluster, Meter } from './cluster.ts'

/** What became of every reading, read from the three tiers' own files after all programs ended. */
export interface Account {
  /** Readings the meters numbered. */
  sent: number
  /** Different readings in the fogs' journals, each under its meter's signature. */
  accepted: number
  /** Readings counted by the latest revisions of the cloud's windows. */
  accounted: number
  lost: number
  duplicated: number
  summaries: number
  fogs: number
  meters: number
  /** Every disagreement in words; empty when all is well. */
  problems: string[]
}

/** What one fog's journal holds. */
interface Journal {
  fog: string
  /** By meter: how often each reading number occurs. */
  numbers: Map<string, Map<number, number>>
  /** Import register before the lowest block it holds of each meter, Wh. */
  startWh: Map<string, { first: number; importWh: number }>
}

export function account(
  cluster: Cluster,
  cloud: Accounting = cloudTotals(cluster.cloudStore),
): Account {
  const meters = cluster.meters.map((meter) => meterStatus(cluster, meter))
  const journals = cluster.fogs.map(({ name, store }) => journalOf(name, store))
  const problems = meters.flatMap((meter) => compareMeter(meter, journals, cloud))
  let [lost, duplicated, owned] = [0, 0, 0]
  // A fog node whose disk was replaced has more than one journal.
  for (const fog of new Set(journals.map((journal) => journal.fog))) {
    const mine = journals.filter((journal) => journal.fog === fog)
    const repeated = sum(mine.map((journal) => tally(journal).repeated))
    const held = sum(mine.map((journal) => tally(journal).distinct)) - withdrawnOf(mine, cloud)
    const counted = cloud.fogs.find((row) => row.fog === fog)?.readings ?? 0
    if (counted !== held)
      problems.push(`${fog}: ${held} readings are its to count, the cloud counts ${counted}`)
    if (repeated > 0) problems.push(`${fog}: ${repeated} readings are there twice`)
    owned += held
    lost += Math.max(0, held - counted)
    duplicated += repeated + Math.max(0, counted - held)
  }
  const accepted = distinctReadings(journals)
  if (owned !== accepted)
    problems.push(`the fog nodes hold ${accepted} different readings, and count ${owned}`)
  if (cloud.doubled > 0) problems.push(`the cloud knows of ${cloud.doubled} counted twice`)
  lost += Math.max(0, accepted - owned)
  duplicated += Math.max(0, owned - accepted)
  for (const { fog, number, kind, code } of cloud.refused)
    problems.push(`the cloud refused ${fog}'s item ${number} (${kind}): ${code}`)
  problems.push(...compareEnergy(meters, journals, cloud))
  const sent = sum(meters.map((meter) => meter.newestNumber))
  return {
    sent,
    accepted,
    accounted: sum(cloud.fogs.map((fog) => fog.readings)),
    lost: lost + Math.max(0, sent - accepted),
    duplicated,
    summaries: sum(cloud.fogs.map((fog) => fog.summaries)),
    fogs: cluster.fogs.length,
    meters: cluster.meters.length,
    problems,
  }
}

function cloudTotals(path: string): Accounting {
  const { queries, close } = openCloudQueries(path)
  try {
    return queries.accounting()
  } finally {
    close()
  }
}

/** The meter's own word, through the same core that wrote its store. */
export function meterStatus(cluster: Cluster, { name, store: path }: Meter): MeterStatus {
  const folder = join(cluster.plan.dir, 'authority')
  const own = join(folder, 'enrolled', name, name)
  const identity = loadIdentity({
    key: `${own}.key`,
    credential: `${own}.cwt`,
    authority: join(folder, 'authority.pub'),
  })
  const file = openMeterStore(path)
  try {
    return createMeter({
      crypto: nativeCrypto,
      key: nativeCrypto.signingKey(identity.signingSecret),
      deviceId: name,
      clock: systemClock,
      store: file.meter(name),
      settings: meterDefaults,
    }).status()
  } finally {
    file.close()
  }
}

function journalOf(fog: string, path: string): Journal {
  const numbers: Journal['numbers'] = new Map()
  const startWh: Journal['startWh'] = new Map()
  readJournal(path, nativeCrypto, ({ deviceId, block }) => {
    const seen = numbers.get(deviceId) ?? new Map<number, number>()
    numbers.set(deviceId, seen)
    for (const { number } of block.readings) seen.set(number, (seen.get(number) ?? 0) + 1)
    const { first, startImportWh: importWh } = block.statement
    if (first < (startWh.get(deviceId)?.first ?? Infinity))
      startWh.set(deviceId, { first, importWh })
  })
  return { fog, numbers, startWh }
}

function tally({ numbers }: Journal): { distinct: number; repeated: number } {
  let [distinct, repeated] = [0, 0]
  for (const seen of numbers.values()) {
    distinct += seen.size
    for (const times of seen.values()) repeated += times - 1
  }
  return { distinct, repeated }
}

/**
 * Readings in these journals of one fog node that are counted elsewhere instead: once for each of its
 * stores that let go of them, where it has had several.
 */
function withdrawnOf(journals: Journal[], { withdrawn }: Accounting): number {
  const fog = journals[0]?.fog
  const letGo = new Map<string, number>()
  for (const { meter, first, through } of withdrawn.filter((row) => row.fog === fog)) {
    for (let number = first; number <= through; number++) {
      const key = `${meter} ${number}`
      letGo.set(key, (letGo.get(key) ?? 0) + 1)
    }
  }
  return sum([...letGo].map(([key, times]) => Math.min(times, timesHeld(journals, key))))
}

function timesHeld(journals: readonly Journal[], key: string): number {
  const [meter = '', number] = key.split(' ')
  return journals.filter(({ numbers }) => numbers.get(meter)?.has(Number(number))).length
}

function distinctReadings(journals: readonly Journal[]): number {
  const numbers = new Set<string>()
  for (const journal of journals) {
    for (const [meter, seen] of journal.numbers)
      for (const number of seen.keys()) numbers.add(`${meter} ${number}`)
  }
  return numbers.size
}

/** Every number from 1 to the meter's newest is in one journal, and the cloud has its last register. */
function compareMeter(meter: MeterStatus, journals: Journal[], cloud: Accounting): string[] {
  const { deviceId, newestNumber, importWh, exportWh, openReadings } = meter
  const problems: string[] = []
  const holders = journals.filter(({ numbers }) => numbers.has(deviceId))
  let missing = 0
  for (let number = 1; number <= newestNumber; number++) {
    if (!holders.some(({ numbers }) => numbers.get(deviceId)?.has(number))) missing += 1
  }
  if (missing > 0) problems.push(`${deviceId}: ${missing} readings are in no journal`)
  if (openReadings > 0) problems.push(`${deviceId}: ${openReadings} readings were never signed`)
  const register = cloud.meters.find((row) => row.meter === deviceId)
  const same =
    register?.number === newestNumber &&
    register.importWh === importWh &&
    register.exportWh === exportWh
  if (newestNumber > 0 && !same) {
    const own = `reading ${newestNumber}, ${importWh} Wh in, ${exportWh} Wh out`
    const there = register ? `reading ${register.number}, ${register.importWh} Wh in` : 'nothing'
    problems.push(`${deviceId}: its newest register is ${own}; the cloud has ${there}`)
  }
  return problems
}

/** The windows' energy is what the registers advanced, to the watt-hour. */
function compareEnergy(meters: MeterStatus[], journals: Journal[], cloud: Accounting): string[] {
  const advanced = sum(
    meters.map(({ deviceId, importWh }) => {
      const starts = journals.flatMap(({ startWh }) => startWh.get(deviceId) ?? [])
      const start = starts.toSorted((a, b) => a.first - b.first)[0]
      return start === undefined ? 0 : importWh - start.importWh
    }),
  )
  const counted = sum(cloud.fogs.map((fog) => fog.importWh))
  if (counted === advanced) return []
  return [`the cloud's windows count ${counted} Wh, the meters' registers advanced ${advanced} Wh`]
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
