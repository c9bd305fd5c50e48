import type { Command } from 'commander'
import type { MeterConfig } from '#config'
import { CodedError } from '#errors'
import { printable } from './printable.ts'

interface ReadFlags {
  source?: string
  config?: string
  oneshot?: boolean
  json?: boolean
  logTelegrams?: string
}

/** `meter read`: what a source says, without a meter, a store or a network. */
export function addReadCommand(meter: Command): void {
  meter
    .command('read')
    .description('show what a source says; stores and sends nothing')
    .option(
      '--source <source>',
      'p1:PORT, sml:PORT, modbus:PORT?profile=NAME, csv:FILE, stdin, sim or replay; a port is a device, a file, tcp://host:port or -',
    )
    .option('--config <file>', 'a configuration, for its [source]')
    .option('--oneshot', 'end after the first telegram')
    .option('--json', 'one JSON object for each telegram')
    .option('--log-telegrams <file>', 'append every byte of a p1 or sml port to this file')
    .action(read)
}

async function read(flags: ReadFlags): Promise<void> {
  const source = await sourceOf(flags)
  const { readSource } = await import('../meter/read.ts')
  const { describe } = await import('./telegram-text.ts')
  const stopping = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort())
  const items = readSource({
    source,
    oneshot: flags.oneshot === true,
    logTelegrams: flags.logTelegrams,
    signal: stopping.signal,
    log: { info: say, warn: say, debug: () => undefined },
  })
  for await (const item of items) {
    process.stdout.write(
      flags.json === true ? `${printable(JSON.stringify(item))}\n` : describe(item),
    )
  }
}

async function sourceOf({ source, config }: ReadFlags): Promise<MeterConfig['source']> {
  const { loadMeterConfig, parseSource } = await import('../meter/config.ts')
  const configured = config === undefined ? null : loadMeterConfig(config).config.source
  if (source !== undefined) return parseSource(source, configured)
  if (configured !== null) return configured
  throw new CodedError('cli/usage', 'say what to read: --source p1:/dev/ttyUSB0, or --config FILE')
}

/** What goes on at the port, for a person; data is on stdout. */
function say(data: object, message: string): void {
  const { error, lines } = data as { error?: string; lines?: string[] }
  const detail = error ?? lines?.join('; ')
  process.stderr.write(
    `fogmeter: ${printable(message)}${detail === undefined ? '' : `: ${printable(detail)}`}\n`,
  )
}
