import type { Command } from 'commander'
import pc from 'picocolors'
import type { StatusView } from '#cloud-store'
import { addFormatOptions, addSourceOptions } from './options.ts'
import type { CommonOptions } from './options.ts'
import { print, printJson, run, say } from './output.ts'
import { openSource } from './source.ts'
import { duration, kilo, moment } from './text.ts'

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
  const newest =
    s.newestEnd === null ? 'none' : `${moment(s.newestEnd)} UTC, ${duration(s.lagSeconds)} ago`
  const rows: [name: string, text: string][] = [
    ['fog nodes', String(s.fogs)],
    ['meters', String(s.meters)],
    ['readings', `${s.readings} in ${s.summaries} windows`],
    ['energy', `${kilo(s.importWh)} kWh import, ${kilo(s.exportWh)} kWh export`],
    ['newest window', newest],
    ['backlog', attention(s.backlog, `${s.backlog} items`)],
    ['registers', `${s.registers} signed, ${attention(s.flagged, `${s.flagged} flagged`)}`],
    ['refused', attention(s.refused, `${s.refused} items`)],
    ['events', String(s.events)],
  ]
  return rows.map(([name, text]) => `${pc.bold(name.padEnd(14))}${text}`)
}

function attention(count: number, text: string): string {
  return count > 0 ? pc.yellow(text) : text
}
