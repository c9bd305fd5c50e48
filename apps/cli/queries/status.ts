import type { Command } from 'commander'
import type { StatusView } from '#cloud-store'
import { addFormatOptions, addSourceOptions } from './options.ts'
import type { CommonOptions } from './options.ts'
import { print, printJson, run, say } from './output.ts'
import { lastingCount, lastingText } from './refusals.ts'
import { openSource } from './source.ts'
import { kilo, lag, moment } from './text.ts'
import { coloursFor } from '../colours.ts'

const colours = coloursFor(process.stdout)

export function addStatusCommand(command: Command): void {
  addFormatOptions(addSourceOptions(command))
  command.action((options: CommonOptions) => run(() => runStatus(options)))
}

async function runStatus(options: CommonOptions): Promise<void> {
  const source = await openSource(options)
  try {
    const status = await source.status()
    if (options.json || options.jsonl) printJson(status)
    else print(lines(status).join('\n'))
    if (status.fogs === 0)
      say('no fog node has reported yet; "npm start" in a clone runs a whole system to look at')
  } finally {
    source.close()
  }
}

function lines(s: StatusView): string[] {
  const rows: [name: string, text: string][] = [
    ['fog nodes', String(s.fogs)],
    ['meters', String(s.meters)],
    ['readings', `${s.readings} in ${s.summaries} windows`],
    ['energy', `${kilo(s.importWh)} kWh import, ${kilo(s.exportWh)} kWh export`],
    ['newest window', newestWindow(s)],
    ['backlog', attention(s.backlog, `${s.backlog} items`)],
    ['registers', `${s.registers} signed, ${attention(s.flagged, `${s.flagged} flagged`)}`],
    ['refused', refused(s)],
    ['events', String(s.events)],
    ...(s.doubled > 0 ? [doubled(s)] : []),
  ]
  return rows.map(([name, text]) => `${colours.bold(name.padEnd(14))}${text}`)
}

/** Only while it is so: a meter moved, and one of its nodes has not heard yet what to let go of. */
function doubled(s: StatusView): [string, string] {
  return ['counted twice', attention(s.doubled, `${s.doubled} readings, until a fog node lets go`)]
}

function attention(count: number, text: string): string {
  return count > 0 ? colours.yellow(text) : text
}

/** By the fog nodes from their meters, and by the cloud from the fog nodes. */
function refused({ refused: items, refusedByFogs }: StatusView): string {
  const reasons = lastingText(refusedByFogs)
  const byFogs = reasons === '' ? 'nothing by fog nodes' : `${reasons} by fog nodes`
  return attention(lastingCount(refusedByFogs) + items, `${byFogs}, ${items} items by the cloud`)
}

function newestWindow({ newestEnd, lagSeconds }: StatusView): string {
  if (newestEnd === null || lagSeconds === null) return 'none'
  return `${moment(newestEnd)} UTC, ${lag(lagSeconds)}${lagSeconds < 0 ? ' of the clock' : ' ago'}`
}
