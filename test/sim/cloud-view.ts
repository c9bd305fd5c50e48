/** What the clouds' databases hold, several services taken together. */
import { equal } from '#bytes'
import type { RegisterEntry, Run, SummaryEntry } from '#cloud'
import { decodeItem, type FogEvent, type Gap, type Item, type Summary } from '#messages'
import { peekRegister } from '#reading'
import type { CloudNode } from './cloud-node.ts'
import type { Disk } from './disk.ts'

type Clouds = readonly Pick<CloudNode, 'disk'>[]

const disksOf = (clouds: Clouds): Disk[] => [...new Set(clouds.map(({ disk }) => disk))]

/** Whether an item of a fog is in some cloud, or was refused there, which the cloud lists. */
export function cloudHolds(clouds: Clouds, fog: string, number: number, body: Uint8Array): boolean {
  const item = itemOf(body)
  return disksOf(clouds).some(
    (disk) =>
      disk.get('refused', `${fog} ${number}`) !== undefined ||
      (item !== null && holds(disk, fog, item)),
  )
}

function itemOf(body: Uint8Array): Item | null {
  try {
    return decodeItem(body)
  } catch {
    return null
  }
}

function holds(disk: Disk, fog: string, item: Item): boolean {
  switch (item.type) {
    case 'summary': {
      const { startS, revision } = item.summary
      const entries = disk.get<SummaryEntry[]>('summary', `${fog} ${startS}`) ?? []
      return entries.some(
        ({ summary }) => summary.revision === revision && sameSums(summary, item.summary),
      )
    }
    case 'register': {
      const { deviceId, last } = peekRegister(item.envelope)
      const all = disk.get<RegisterEntry[]>('register', deviceId) ?? []
      return all.some(
        (entry) => entry.statement.last === last && equal(entry.envelope, item.envelope),
      )
    }
    case 'withdrawn': {
      const { deviceId, first, through } = item.withdrawn
      return [...disk.rows<Run>('run').values()].some(
        (run) =>
          run.fog === fog &&
          run.deviceId === deviceId &&
          run.first === first &&
          run.withdrawn >= through,
      )
    }
    case 'gap': {
      const { deviceId, kind, first, last } = item.gap
      const stored = disk.get<Gap>('gap', `${deviceId} ${fog} ${kind} ${first}`)
      return stored !== undefined && stored.last >= last
    }
    case 'credential':
      return [...disk.rows<Uint8Array[]>('credential').values()]
        .flat()
        .some((encoded) => equal(encoded, item.cwt))
    case 'event':
      return eventsOf([{ disk }]).some(
        ({ code, detail, fog: from }) =>
          from === fog && code === item.event.code && detail === item.event.detail,
      )
    default:
      return disk.get('status', fog) !== undefined
  }
}

export function sameSums(a: Summary, b: Summary): boolean {
  const { firstReceivedS: _a, ...left } = a
  const { firstReceivedS: _b, ...right } = b
  return JSON.stringify(left) === JSON.stringify(right)
}

export interface CloudEvent extends FogEvent {
  fog: string
  source: 'fog' | 'cloud'
}

export function eventsOf(clouds: Clouds): CloudEvent[] {
  return disksOf(clouds).flatMap((disk) => [...disk.rows<CloudEvent>('event').values()])
}

/** The highest revision of every window of a fog, by its start. */
export function latestWindows(clouds: Clouds, fog: string): Map<number, Summary> {
  const latest = new Map<number, Summary>()
  for (const disk of disksOf(clouds)) {
    for (const { fog: from, summary } of [
      ...disk.rows<SummaryEntry[]>('summary').values(),
    ].flat()) {
      const before = latest.get(summary.startS)
      if (from === fog && (before === undefined || summary.revision > before.revision)) {
        latest.set(summary.startS, summary)
      }
    }
  }
  return latest
}

export function registersOf(clouds: Clouds): Map<string, RegisterEntry[]> {
  const registers = new Map<string, RegisterEntry[]>()
  for (const disk of disksOf(clouds)) {
    for (const [deviceId, entries] of disk.rows<RegisterEntry[]>('register')) {
      registers.set(String(deviceId), [...(registers.get(String(deviceId)) ?? []), ...entries])
    }
  }
  return registers
}

export function refusedOf(clouds: Clouds): { fog: string; number: number; code: string }[] {
  return disksOf(clouds).flatMap((disk) => [
    ...disk.rows<{ fog: string; number: number; code: string }>('refused').values(),
  ])
}

/** Each database's own running sums beside the sum over its latest summaries. */
export function totalsOf(
  clouds: Clouds,
  fog: string,
): { kept: Record<string, number>; summed: Record<string, number> }[] {
  return disksOf(clouds).map((disk) => {
    const entries = [...disk.rows<SummaryEntry[]>('summary').values()]
      .flat()
      .filter((entry) => entry.latest && entry.fog === fog)
    const sum = (field: 'readings' | 'powerSumW' | 'importWh' | 'exportWh') =>
      entries.reduce((total, { summary }) => total + summary[field], 0)
    const totals = disk.get<{ totals: Record<string, number | bigint> }>('fog', fog)?.totals ?? {}
    const fields = ['readings', 'powerSumW', 'importWh', 'exportWh'] as const
    return {
      kept: Object.fromEntries(fields.map((field) => [field, Number(totals[field] ?? 0)])),
      summed: Object.fromEntries(fields.map((field) => [field, sum(field)])),
    }
  })
}

/** Runs of which the cloud knows that somebody else counts them too, and that are still counted. */
export function doubledRuns(clouds: Clouds): Run[] {
  return disksOf(clouds)
    .flatMap((disk) => [...disk.rows<Run>('run').values()])
    .filter((run) => run.doubled > run.withdrawn)
}

/** Ranges of readings that are listed as not being there. */
export function missingRanges(clouds: Clouds, deviceId: string): Gap[] {
  return disksOf(clouds)
    .flatMap((disk) => [...disk.rows<Gap>('gap').values()])
    .filter((gap) => gap.deviceId === deviceId && gap.kind === 'missing')
}
