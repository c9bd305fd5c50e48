import { InvalidArgumentError, Option, type Command } from 'commander'
import { CodedError, exitCodes } from '#errors'
import type { Clause } from '../conformance/clauses.ts'
import type { Result } from '../conformance/verdicts.ts'
import { wholeNumber } from './authority.ts'
import { coloursFor } from './colours.ts'
import { printable } from './printable.ts'

interface Flags {
  identity?: string
  node?: string
  config?: string
  authority?: string
  meter?: string
  listen: { host: string; port: number }
  only?: string[]
  wait: number
  list?: boolean
  transcript?: boolean
  json?: boolean
}

const loopback = { host: '127.0.0.1', port: 1_883 }

const HELP = `
Plays a fog node against whatever meter connects, and reports clause by clause what it got right.
Use an authority made for testing: with --authority, its key signs impostors, and a revocation list
that the meter keeps.

  fogmeter authority init --dir lab
  fogmeter enrol fog fog-1 --authority lab --out lab/node
  fogmeter enrol meter my-meter --authority lab --out lab/meter     for the meter
  fogmeter conformance --identity lab/node --authority lab

Exit codes: 0 nothing failed, 1 something did, 2 wrong usage. What was not seen did not fail.
`

/** `fogmeter conformance`: for somebody who writes a meter. */
export function addConformanceCommand(program: Command): void {
  program
    .command('conformance')
    .description('play a fog node against a meter of yours, and judge it clause by clause')
    .option(
      '--identity <folder>',
      'the files of the node to play, as "fogmeter enrol fog" made them',
    )
    .option('--node <name>', 'which node, when the folder has several')
    .option('--config <file>', 'the same from the [identity] of an agent.toml')
    .option('--authority <folder>', 'the authority, for attacks that need its key')
    .option('--meter <name>', 'the name the meter must prove; any when absent')
    .addOption(
      new Option('--listen <address>', 'where to listen')
        .argParser(listenAddress)
        .default(loopback, '127.0.0.1:1883'),
    )
    .option('--only <group...>', 'only the clauses of these groups')
    .option('--wait <seconds>', 'how long a clause waits for the meter', wholeNumber, 180)
    .option('--list', 'list the clauses and stop')
    .option(
      '--transcript',
      'print a session with fixed keys and every intermediate value, and stop',
    )
    .option('--json', 'one JSON object')
    .addHelpText('after', HELP)
    .action(conformance)
}

async function conformance(flags: Flags): Promise<void> {
  const { clauses, groups, groupOf } = await import('../conformance/clauses.ts')
  const unknown = flags.only?.find((group) => !groups.includes(group))
  if (unknown !== undefined) throw usage(`--only ${unknown}: write one of ${groups.join(', ')}`)
  const only = flags.only === undefined ? null : new Set(flags.only)
  if (flags.transcript === true) {
    const { transcript } = await import('../conformance/transcript.ts')
    process.stdout.write(transcript())
    return
  }
  if (flags.list === true) {
    const wanted = clauses.filter(({ id }) => only === null || only.has(groupOf(id)))
    return flags.json === true ? print(JSON.stringify(wanted)) : printList(wanted)
  }
  const results = await run(flags, only)
  if (flags.json === true) print(JSON.stringify(summaryOf(results)))
  else report(results)
  if (results.some(({ result }) => result === 'fail')) process.exitCode = exitCodes.failure
}

async function run(flags: Flags, only: ReadonlySet<string> | null): Promise<Result[]> {
  const { findIdentity } = await import('../conformance/identity.ts')
  const { loadSigner } = await import('../conformance/impostors.ts')
  const { runConformance } = await import('../conformance/run.ts')
  const { identity, config, node } = flags
  if ((identity === undefined) === (config === undefined))
    throw usage('say which node to play: --identity FOLDER or --config FILE')
  const stopping = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort())
  return runConformance({
    identity: findIdentity({ folder: identity, config, node }),
    signer: flags.authority === undefined ? null : loadSigner(flags.authority),
    listen: flags.listen,
    meter: flags.meter ?? null,
    only,
    waitMs: flags.wait * 1_000,
    quietMs: QUIET_MS,
    say: (text) => process.stderr.write(`fogmeter: ${printable(text)}\n`),
    onListening: (url) => process.stderr.write(`fogmeter: listening on ${url}\n`),
    signal: stopping.signal,
  })
}

/** Longer than a meter takes to send again what it was asked for, and its message_1. */
const QUIET_MS = 4_000

function summaryOf(results: readonly Result[]) {
  const count = (kind: Result['result']) => results.filter(({ result }) => result === kind).length
  const counts = { passed: count('pass'), failed: count('fail'), notSeen: count('not-seen') }
  return { ...counts, clauses: results }
}

function report(results: readonly Result[]): void {
  const colours = coloursFor(process.stdout)
  const marks = {
    pass: colours.green('pass'),
    fail: colours.red('FAIL'),
    'not-seen': colours.yellow('not seen'),
  }
  const width = Math.max(...results.map(({ id }) => id.length))
  for (const result of results) {
    const mark = marks[result.result]
    const pad = ' '.repeat(9 - (result.result === 'not-seen' ? 8 : 4))
    print(`${mark}${pad}${result.id.padEnd(width)}  ${result.asks}`)
    for (const line of detailsOf(result)) print(`${' '.repeat(11)}${printable(line)}`)
  }
  const { passed, failed, notSeen } = summaryOf(results)
  print(`\n${passed} passed, ${failed} failed, ${notSeen} not seen`)
}

function detailsOf(result: Result): string[] {
  const { failures, expected, came, reason, source, look } = result
  if (result.result === 'not-seen') return [`reason:   ${reason ?? ''}`]
  if (result.result === 'pass') return []
  const times = failures > 1 ? [`times:    ${failures}, the first of them:`] : []
  return [
    ...times,
    `expected: ${expected ?? ''}`,
    `came:     ${came ?? ''}`,
    `source:   ${source}`,
    `look at:  ${look}`,
  ]
}

function printList(clauses: readonly Clause[]): void {
  const width = Math.max(...clauses.map(({ id }) => id.length))
  for (const { id, asks, source } of clauses) print(`${id.padEnd(width)}  ${asks} (${source})`)
}

function listenAddress(text: string): { host: string; port: number } {
  const { v6, v4, port } =
    /^(?:\[(?<v6>[^\]]+)\]|(?<v4>[^:]+)):(?<port>\d{1,5})$/.exec(text)?.groups ?? {}
  const host = v6 ?? v4
  if (host !== undefined && Number(port) <= 65_535) return { host, port: Number(port) }
  throw new InvalidArgumentError('It must be HOST:PORT, such as 127.0.0.1:1883 or [::1]:1883.')
}

function usage(message: string): CodedError {
  return new CodedError('cli/usage', message)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}
