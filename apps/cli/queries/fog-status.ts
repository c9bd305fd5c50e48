import type { FogView } from '#cloud-store'
import { coloursFor } from '../colours.ts'
import { notFound } from './failure.ts'
import { parseName } from './options.ts'
import type { CommonOptions } from './options.ts'
import { print, printJson } from './output.ts'
import { openSource } from './source.ts'
import { duration, kilo, lag, moment } from './text.ts'

type Machine = NonNullable<NonNullable<FogView['status']>['machine']>

/**
 * What a card is expected to bear, for want of anything it would tell itself: each block rewritten a
 * thousand times, and four bytes written inside for each from outside.
 */
const REWRITES = 1_000
const AMPLIFICATION = 4
const GOAL_DAYS = 3_650
const DAY_S = 86_400

/** `get_throttled` of Raspberry Pi's firmware: now, and 16 bits further on, since the start. */
const conditions = ['low voltage', 'clock capped', 'throttled', 'too hot'] as const

/** Writes a day, what ten years allow, and how long the card lasts at this rate. */
export interface Wear {
  bytesADay: number
  budgetBytesADay: number
  lifeDays: number
}

export function wearOf({ writtenBytes, diskBytes, uptimeS }: Machine): Wear | null {
  if (writtenBytes === null || diskBytes === null || uptimeS === 0) return null
  const bytesADay = Math.round((writtenBytes * DAY_S) / uptimeS)
  const bears = (diskBytes * REWRITES) / AMPLIFICATION
  const lifeDays = bytesADay === 0 ? Infinity : Math.floor(bears / bytesADay)
  return { bytesADay, budgetBytesADay: Math.floor(bears / GOAL_DAYS), lifeDays }
}

export async function showFog(fog: string, options: CommonOptions): Promise<void> {
  const name = parseName(fog, 'fog')
  const source = await openSource(options)
  try {
    const [view] = (await source.fogs({ ...(name !== undefined && { fog: name }), limit: 1 })).items
    if (view === undefined)
      throw notFound(`no fog node "${fog}" has reported; "fogmeter fog list" shows those that have`)
    const machine = view.status?.machine
    if (options.json || options.jsonl)
      printJson({ ...view, wear: machine === undefined ? null : wearOf(machine) })
    else print(lines(view).join('\n'))
  } finally {
    source.close()
  }
}

function lines(view: FogView): string[] {
  const { bold } = coloursFor(process.stdout)
  const rows: [string, string][] = [
    ['fog node', view.fog],
    ['last seen', `${moment(view.lastSeen)} UTC`],
    ['last summary', lastSummary(view)],
    ['backlog', attention(view.backlog > 0, `${view.backlog} items`)],
    ...programRows(view),
    ...(view.status?.machine === undefined ? [] : machineRows(view.status.machine)),
  ]
  return rows.map(([title, text]) => `${bold(title.padEnd(14))}${text}`)
}

function lastSummary({ newestEnd, lagSeconds }: FogView): string {
  return newestEnd === null ? 'none' : `of ${moment(newestEnd)} UTC, lag ${lag(lagSeconds)}`
}

function programRows({ status }: FogView): [string, string][] {
  if (status === null) return [['status', 'nothing yet: it comes five minutes after its start']]
  const { version, uptimeS, metersOnline, metersKnown, storeBytes, timeS } = status
  return [
    ['said', `${moment(new Date(timeS * 1_000).toISOString())} UTC by its own clock`],
    ['version', `${version}, running for ${duration(uptimeS)}`],
    ['meters', `${metersOnline} of ${metersKnown} online`],
    ['store', megabytes(storeBytes)],
  ]
}

function machineRows(machine: Machine): [string, string][] {
  const { clockSet, uptimeS, temperatureDc, throttled } = machine
  return [
    ['machine up', duration(uptimeS)],
    ['clock', attention(!clockSet, clockSet ? 'set since it started' : 'not set since it started')],
    ...(temperatureDc === null
      ? []
      : [row('temperature', `${(temperatureDc / 10).toFixed(1)} °C`)]),
    ...(throttled === null ? [] : [row('power', power(throttled))]),
    ['card', card(machine)],
  ]
}

function row(title: string, text: string): [string, string] {
  return [title, text]
}

function power(throttled: number): string {
  const now = conditions.filter((_, bit) => (throttled & (1 << bit)) !== 0)
  const before = conditions.filter((_, bit) => (throttled & (1 << (bit + 16))) !== 0)
  if (now.length > 0) return attention(true, `now: ${now.join(', ')}`)
  return before.length > 0 ? attention(true, `since the start: ${before.join(', ')}`) : 'good'
}

function card(machine: Machine): string {
  const wear = wearOf(machine)
  if (wear === null || machine.diskBytes === null) return 'does not say what is written to it'
  const { bytesADay, budgetBytesADay, lifeDays } = wear
  const years =
    lifeDays > 20 * 365 ? 'more than 20 years' : `about ${(lifeDays / 365).toFixed(1)} years`
  const rate = `${megabytes(bytesADay)} a day of ${megabytes(budgetBytesADay)} for ten years`
  const size = `${Math.round(machine.diskBytes / 1e9)} GB`
  return attention(bytesADay > budgetBytesADay, `${size}, writes ${rate}; lasts ${years} at that`)
}

function megabytes(bytes: number): string {
  return `${kilo(Math.round(bytes / 1_000), 1)} MB`
}

function attention(worth: boolean, text: string): string {
  return worth ? coloursFor(process.stdout).yellow(text) : text
}
