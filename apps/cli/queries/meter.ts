import type { Command } from 'commander'
import type { MeterView } from '#cloud-store'
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
  { title: 'REGISTER OF (UTC)', text: (row) => moment(row.time) },
  {
    title: 'FLAGS',
    text: (row) => row.flags.join(','),
    flexible: true,
    warn: (row) => row.flags.length > 0,
  },
]

const whenEmpty =
  'no meter is known yet: a fog node passes on signed registers when its first window closes'

export function addMeterCommands(noun: Command): void {
  const list = noun.command('list').description('meters with their newest signed registers')
  const times = addTimeOptions(addFogOption(list), 'last heard of')
  addFormatOptions(addSourceOptions(addListOptions(times)))
  list.action((options: ListOptions) =>
    run(() => runList({ columns, whenEmpty, fetch: (source, f) => source.meters(f) }, options)),
  )
}
