import { Option } from 'commander'
import type { Command } from 'commander'
import { usage } from './failure.ts'
import type { SourceOptions } from './source.ts'

/** What every query command can be told, as commander delivers it. */
export interface CommonOptions extends SourceOptions {
  json?: true
  jsonl?: true
}

export interface ListOptions extends CommonOptions {
  fog?: string
  since?: string
  until?: string
  limit: string
}

const DEVICE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$/
const MAX_ROWS = 1_000_000

export function addSourceOptions(command: Command): Command {
  return command
    .addOption(
      new Option('--url <url>', 'address of the cloud')
        .env('FOGMETER_URL')
        .default('http://127.0.0.1:8080'),
    )
    .addOption(
      new Option('--token-file <file>', 'file with the access token').env('FOGMETER_TOKEN_FILE'),
    )
    .option('--store <path>', "read the cloud's database on this machine instead of asking it")
}

export function addFormatOptions(command: Command): Command {
  return command.option('--json', 'one JSON document').option('--jsonl', 'one JSON object a line')
}

export function addListOptions(command: Command): Command {
  return command.option('--limit <number>', 'at most this many rows', '100')
}

export function addTimeOptions(command: Command, what: string): Command {
  const how = '30m, 1h, 7d ago, or ISO 8601'
  return command
    .option('--since <time>', `${what} from this time on (${how})`)
    .option('--until <time>', `${what} before this time`)
}

export function addFogOption(command: Command): Command {
  return command.option('--fog <name>', 'of this fog node only')
}

export function parseLimit(text: string): number {
  const limit = Number(text)
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_ROWS) return limit
  throw usage(`--limit ${text}: give a number from 1 to ${MAX_ROWS}`)
}

export function parseFog(name: string | undefined): string | undefined {
  return parseName(name, '--fog')
}

/** A device's name as credentials carry it; `where` is what the user typed it for. */
export function parseName(name: string | undefined, where: string): string | undefined {
  if (name === undefined || DEVICE_ID.test(name)) return name
  throw usage(`${where} ${name}: a name has 1 to 32 letters, digits, dots, hyphens or underscores`)
}
