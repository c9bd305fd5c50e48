import type { Command } from 'commander'
import type { FogView } from '#cloud-store'
import { addClaimCommands } from '../claim.ts'
import { addFindCommand } from '../find.ts'
import { runList } from './list.ts'
import { addFogOption, addFormatOptions, addListOptions, addSourceOptions } from './options.ts'
import type { CommonOptions, ListOptions } from './options.ts'
import { showFog } from './fog-status.ts'
import { run } from './output.ts'
import { lastingCount, lastingText } from './refusals.ts'
import type { Column } from './table.ts'
import { kilo, lag, moment } from './text.ts'

const columns: readonly Column<FogView>[] = [
  { title: 'FOG', text: (row) => row.fog, flexible: true },
  { title: 'LAST SEEN (UTC)', text: (row) => moment(row.lastSeen) },
  { title: 'LAG', text: (row) => lag(row.lagSeconds), align: 'right' },
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
    text: (row) => String(refused(row)),
    align: 'right',
    warn: (row) => refused(row) > 0,
  },
]

/** By it and from it: neither is counted anywhere else. */
function refused({ refused: byCloud, status }: FogView): number {
  return byCloud + lastingCount(status?.refused ?? {})
}

/** Why, for each fog node that refused something of its meters. */
function notes(rows: readonly FogView[]): string[] {
  return rows.flatMap(({ fog, status }) => {
    const text = lastingText(status?.refused ?? {})
    return text === '' ? [] : [`${fog} refused from its meters since it started: ${text}`]
  })
}

const whenEmpty =
  'no fog node has reported yet: enrol one with "fogmeter enrol fog NAME" and start its broker and agent'

export function addFogCommands(noun: Command): void {
  addClaimCommands(noun)
  addFindCommand(noun)
  const status = noun
    .command('status')
    .argument('<fog>', 'its name')
    .description('one fog node: version, clock, backlog, card, temperature')
  addFormatOptions(addSourceOptions(status))
  status.action((fog: string, options: CommonOptions) => run(() => showFog(fog, options)))

  const list = noun.command('list').description('fog nodes: lag, backlog and totals')
  addFormatOptions(addSourceOptions(addListOptions(addFogOption(list))))
  list.action((options: ListOptions) =>
    run(() =>
      runList({ columns, whenEmpty, notes, fetch: (source, f) => source.fogs(f) }, options),
    ),
  )
}
