import { Option } from 'commander'
import type { Command } from 'commander'
import type { GapView } from '#cloud-store'
import { gapKinds } from '#messages'
import { runList } from './list.ts'
import {
  addFogOption,
  addFormatOptions,
  addListOptions,
  addSourceOptions,
  addTimeOptions,
  parseName,
} from './options.ts'
import type { ListOptions } from './options.ts'
import { run } from './output.ts'
import type { Column } from './table.ts'
import { duration, kilo, moment } from './text.ts'

const columns: readonly Column<GapView>[] = [
  { title: 'METER', text: (row) => row.meter, flexible: true },
  { title: 'FOG', text: (row) => row.fog, flexible: true },
  { title: 'WHAT', text: (row) => row.kind, warn: (row) => !row.counted },
  { title: 'NUMBERS', text: (row) => `${row.first}–${row.last}`, align: 'right' },
  { title: 'FROM (UTC)', text: (row) => moment(row.start) },
  { title: 'LENGTH', text: (row) => duration(row.seconds), align: 'right' },
  { title: 'IMPORT kWh', text: (row) => kilo(row.importWh), align: 'right' },
  { title: 'IN WINDOWS', text: countedIn },
]

function countedIn({ counted, alsoAt, kind }: GapView): string {
  if (alsoAt.length > 0) return `at ${alsoAt.join(', ')}`
  if (kind === 'skipped') return '–'
  return counted ? 'yes' : 'no'
}

const whenEmpty = 'nothing is missing, estimated or left out'

interface GapOptions extends ListOptions {
  kind?: string
}

/** `meter gaps [METER]`: everything that is not as it should be, and the energy across it. */
export function addGapCommand(noun: Command): void {
  const list = noun
    .command('gaps')
    .description('readings that are missing, late, estimated or not summed up')
    .argument('[meter]', 'of this meter only')
  const times = addTimeOptions(addFogOption(list), 'touching the time')
  addFormatOptions(addSourceOptions(addListOptions(times)))
  list.addOption(new Option('--kind <kind>', 'of this kind only').choices(gapKinds))
  list.action((meter: string | undefined, options: GapOptions) =>
    run(() => {
      const name = parseName(meter, 'meter')
      const only = {
        ...(name !== undefined && { meter: name }),
        ...(options.kind !== undefined && { kind: options.kind }),
      }
      return runList({ columns, whenEmpty, only, fetch: (source, f) => source.gaps(f) }, options)
    }),
  )
}
