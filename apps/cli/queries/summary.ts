import type { Command } from 'commander'
import type { SummaryView } from '#cloud-store'
import { usage } from './failure.ts'
import { runList } from './list.ts'
import {
  addFogOption,
  addFormatOptions,
  addListOptions,
  addSourceOptions,
  addTimeOptions,
  parseFog,
  parseLimit,
} from './options.ts'
import type { CommonOptions, ListOptions } from './options.ts'
import { print, printJson, run, say } from './output.ts'
import { openSource } from './source.ts'
import type { QuerySource } from './source.ts'
import { renderTable } from './table.ts'
import type { Column } from './table.ts'
import { duration, kilo, moment, volts } from './text.ts'

const columns: readonly Column<SummaryView>[] = [
  { title: 'START (UTC)', text: (row) => moment(row.start) },
  { title: 'LENGTH', text: (row) => duration(row.endS - row.startS), align: 'right' },
  { title: 'FOG', text: (row) => row.fog, flexible: true },
  { title: 'REV', text: (row) => String(row.revision), align: 'right' },
  { title: 'METERS', text: (row) => String(row.meters), align: 'right' },
  { title: 'READINGS', text: (row) => String(row.readings), align: 'right' },
  { title: 'MEAN kW', text: (row) => kilo(row.powerMeanW), align: 'right' },
  { title: 'MEAN V', text: (row) => volts(row.voltageMeanV), align: 'right' },
  { title: 'IMPORT kWh', text: (row) => kilo(row.importWh), align: 'right' },
  { title: 'QUALITY', text: qualityOf, flexible: true, warn: (row) => qualityOf(row) !== '' },
]

/** Readings of doubtful time and substitutes, e.g. `3e 2s`; nothing where all is well. */
function qualityOf({ estimated, unknownTime, substitute }: SummaryView): string {
  const counts: [number, string][] = [
    [estimated, 'e'],
    [unknownTime, 'u'],
    [substitute, 's'],
  ]
  return counts.flatMap(([count, letter]) => (count > 0 ? [`${count}${letter}`] : [])).join(' ')
}

const legend =
  'QUALITY counts readings with an estimated (e) or unknown (u) time, and substitutes (s)'

const whenEmpty =
  'no summaries yet: a window closes some minutes after its last reading. ' +
  'Widen --since, or look at "fogmeter fog list" and "fogmeter status"'

export function addSummaryCommands(noun: Command): void {
  const list = noun
    .command('list')
    .description(`windows in their latest revision, newest first. ${legend}`)
  addFormatOptions(addSourceOptions(addListOptions(addTimeOptions(addFogOption(list), 'starting'))))
  list.action((options: ListOptions) =>
    run(() => runList({ columns, whenEmpty, fetch: (source, f) => source.summaries(f) }, options)),
  )
  const watch = noun
    .command('watch')
    .description(`every revision as it is stored, until Ctrl-C. ${legend}`)
  addSourceOptions(addFogOption(watch))
    .option('--after <id>', 'begin after this revision; "id" in the JSON output')
    .option('--limit <number>', 'stop after this many')
    .option('--jsonl', 'one JSON object a line')
    .option('--json', 'the same as --jsonl')
  watch.action((options: WatchOptions) => run(() => runWatch(options)))
}

interface WatchOptions extends CommonOptions {
  fog?: string
  after?: string
  limit?: string
}

async function runWatch(options: WatchOptions): Promise<void> {
  const fog = parseFog(options.fog)
  const after = parseAfter(options.after)
  const limit = options.limit === undefined ? Infinity : parseLimit(options.limit)
  const source = await openSource(options)
  const interrupted = new AbortController()
  const stop = (): void => interrupted.abort()
  process.once('SIGINT', stop).once('SIGTERM', stop)
  try {
    const filters = {
      ...(fog === undefined ? {} : { fog }),
      ...(after === undefined ? {} : { after }),
    }
    await printEach(source, filters, limit, options, interrupted)
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop)
    source.close()
  }
}

async function printEach(
  source: QuerySource,
  filters: { fog?: string; after?: number },
  limit: number,
  options: WatchOptions,
  interrupted: AbortController,
): Promise<void> {
  const asJson = options.json === true || options.jsonl === true
  let shown = 0
  say(waitingFor(filters))
  for await (const view of source.watch(filters, interrupted.signal)) {
    if (asJson) printJson(view)
    else print(renderTable(columns, [view], { widths, heading: shown === 0 }))
    shown += 1
    if (shown >= limit) break
  }
  interrupted.abort()
}

/** The first row may be a quarter of an hour away. */
function waitingFor({ fog, after }: { fog?: string; after?: number }): string {
  const whose = fog === undefined ? 'a fog node' : `fog node ${fog}`
  const stored = after === undefined ? '--after 0 begins with those stored already, ' : ''
  return `waiting for ${whose} to close its next window and send it; ${stored}Ctrl-C ends`
}

/** Fixed, because the rows to come are not known; they add up to 100 with the gaps. */
const widths = [19, 6, 9, 3, 6, 8, 8, 6, 10, 7]

function parseAfter(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  if (/^\d{1,15}$/.test(text)) return Number(text)
  throw usage(`--after ${text}: give the "id" of a summary, or 0 for all`)
}
