import type { Command } from 'commander'
import type { FogView } from '#cloud-store'
import { runList } from './list.ts'
import { addFogOption, addFormatOptions, addListOptions, addSourceOptions } from './options.ts'
import type { ListOptions } from './options.ts'
import { run } from './output.ts'
import type { Column } from './table.ts'
import { duration, kilo, moment } from './text.ts'

const columns: readonly Column<FogView>[] = [
  { title: 'FOG', text: (row) => row.fog, flexible: true },
  { title: 'LAST SEEN (UTC)', text: (row) => moment(row.lastSeen) },
  { title: 'LAG', text: (row) => duration(row.lagSeconds), align: 'right' },
  {
    title: 'BACKLOG',
    text: (row) => String(row.backlog),
    align: 'right',
    warn: (row) => row.backlog > 0,
  },
  { title: 'METERS', text: (row) => String(row.meters), align: 'right' },
  { title: 'WINDOWS', text: (row) => String(row.summaries), align: 'right' },
  { title: 'READINGS', text: (row) => String(row.readings), align: 'right' },
  { title: 'IMPORT kWh', text: (row) => kilo(row.importWh), align: 'right' },
  {
    title: 'REFUSED',
    text: (row) => String(row.refused),
    align: 'right',
    warn: (row) => row.refused > 0,
  },
]

const whenEmpty =
  'no fog node has reported yet: enrol one with "fogmeter enrol fog NAME" and start its broker and agent'

export function addFogCommands(noun: Command): void {
  const list = noun.command('list').description('fog nodes: lag, backlog and totals')
  addFormatOptions(addSourceOptions(addListOptions(addFogOption(list))))
  list.action((options: ListOptions) =>
    run(() => runList({ columns, whenEmpty, fetch: (source, f) => source.fogs(f) }, options)),
  )
}
