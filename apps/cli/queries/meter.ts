import type { Command } from 'commander'
import type { MeterView } from '#cloud-store'
import { addGapCommand } from './gaps.ts'
import { runList } from './list.ts'
import {
  addFogOption,
  addFormatOptions,
  addListOptions,
  addSourceOptions,
  addTimeOptions,
} from './options.ts'
import type { ListOptions } from './options.ts'
import { run } from './output.ts'
import type { Column } from './table.ts'
import { kilo, moment } from './text.ts'

const columns: readonly Column<MeterView>[] = [
  { title: 'METER', text: (row) => row.meter, flexible: true },
  { title: 'FOG', text: (row) => row.fog, flexible: true },
  {
    title: 'NUMBER',
    text: (row) => (row.number === null ? '–' : String(row.number)),
    align: 'right',
  },
  { title: 'IMPORT kWh', text: (row) => kilo(row.importWh), align: 'right' },
  { title: 'EXPORT kWh', text: (row) => kilo(row.exportWh), align: 'right' },
  { title: 'REGISTER OF (UTC)', text: registerTime },
  {
    title: 'FLAGS',
    text: (row) => row.flags.join(','),
    flexible: true,
    warn: (row) => row.flags.length > 0,
  },
]

/** A time the meter does not believe itself is none. */
function registerTime({ time, timeQuality }: MeterView): string {
  if (timeQuality === 'unknown') return 'unknown'
  return timeQuality === 'estimated' ? `${moment(time)} ?` : moment(time)
}

const whenEmpty =
  'no meter is known yet: a fog node passes on signed registers when its first window closes'

export function addMeterCommands(noun: Command): void {
  addGapCommand(noun)
  const list = noun.command('list').description('meters with their newest signed registers')
  const times = addTimeOptions(addFogOption(list), 'last heard of')
  addFormatOptions(addSourceOptions(addListOptions(times)))
  list.action((options: ListOptions) =>
    run(() => runList({ columns, whenEmpty, fetch: (source, f) => source.meters(f) }, options)),
  )
}
