import type { Mutation } from './mutation.ts'
import { runSeed, type RunResult } from './run.ts'

export interface Summary {
  seeds: number
  failed: number[]
  meterDays: number
  readings: number
  blocks: number
  windows: number
  /** Readings that came to two fog nodes and were counted once. */
  heldTwice: number
  /** Blocks whose readings had to be given up, and measurements not recorded, for want of room. */
  givenUp: number
  refusedMeasurements: number
  /** Items that had to make room in outboxes of fog nodes. */
  itemsGivenUp: number
  bitsFlipped: number
  /** Databases of clouds that were set back to an older copy. */
  restored: number
  cpuSeconds: number
  meterDaysPerSecond: number
}

export function summarise(results: readonly RunResult[], cpuSeconds: number): Summary {
  const sum = (value: (result: RunResult) => number) =>
    results.reduce((total, result) => total + value(result), 0)
  const meterDays = sum((result) => result.meterDays)
  return {
    seeds: results.length,
    failed: results.filter(({ violations }) => violations.length > 0).map(({ seed }) => seed),
    meterDays: Math.round(meterDays),
    readings: sum(({ account }) => account.readings),
    blocks: sum(({ account }) => account.blocks),
    windows: sum(({ account }) => account.windows),
    heldTwice: sum(({ account }) => account.heldTwice),
    givenUp: sum(({ account }) => account.givenUp),
    itemsGivenUp: sum(({ account }) => account.itemsGivenUp),
    refusedMeasurements: sum(({ account }) => account.refusedMeasurements),
    bitsFlipped: sum(({ rotten }) => rotten.length),
    restored: sum(({ restored }) => restored),
    cpuSeconds: Math.round(cpuSeconds),
    meterDaysPerSecond: Math.round(meterDays / cpuSeconds),
  }
}

export function summaryTable(summary: Summary): string {
  const rows: [string, string | number][] = [
    ['seeds', summary.seeds],
    ['seeds in which something went wrong', summary.failed.join(', ') || 'none'],
    ['simulated meter-days', summary.meterDays],
    ['readings signed', summary.readings],
    ['windows in the cloud', summary.windows],
    ['readings that came to two fog nodes', summary.heldTwice],
    ['blocks reduced to their statements', summary.givenUp],
    ['items that made room in an outbox', summary.itemsGivenUp],
    ['bits flipped', summary.bitsFlipped],
    ['databases of clouds set back to a copy', summary.restored],
    ['CPU seconds', summary.cpuSeconds],
    ['meter-days a CPU second', summary.meterDaysPerSecond],
  ]
  return table(['', ''], rows)
}

/** How many seeds it took to find a planted bug; null: not found. */
export interface Hunt {
  name: string
  about: string
  seeds: number | null
  found: string
}

export async function hunt(mutation: Mutation, from: number, atMost: number): Promise<Hunt> {
  const { name, about } = mutation
  for (let tried = 1; tried <= atMost; tried++) {
    const { violations } = await runSeed(from + tried - 1, { mutation })
    const [first] = violations
    if (first !== undefined) return { name, about, seeds: tried, found: first }
  }
  return { name, about, seeds: null, found: '' }
}

export function huntTable(hunts: readonly Hunt[]): string {
  const rows = hunts.map(({ name, about, seeds }): [string, string, string] => {
    return [name, about, seeds === null ? 'not found' : String(seeds)]
  })
  return table(['mutation', 'the bug', 'seeds until found'], rows)
}

const line = (cells: readonly (string | number)[]) => `| ${cells.join(' | ')} |`

function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
