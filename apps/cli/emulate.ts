import { Option, type Command } from 'commander'
import { CodedError } from '#errors'
import type { ChipEvent } from '../emulator/surroundings.ts'
import type { Emulated } from '../emulator/run.ts'
import { wholeNumber } from './authority.ts'
import { printable } from './printable.ts'

interface EmulateFlags {
  config: string
  profile: 'esp32' | 'esp32-s3' | 'esp8266'
  build: 'small' | 'noble' | 'native'
  memory?: number
  flash?: string
  timeScale: number
  interval: number
  brownOuts: number
  readings?: number
  json?: boolean
}

/** `meter emulate`: the meter's core on a small chip that is not there. */
export function addEmulateCommand(meter: Command): void {
  meter
    .command('emulate')
    .description('run the meter on an emulated chip: its memory, flash, clock, sleep and Wi-Fi')
    .requiredOption('--config <file>', 'a meter configuration: broker, node and identity are used')
    .addOption(
      new Option('--profile <chip>', 'the chip')
        .choices(['esp32', 'esp32-s3', 'esp8266'])
        .default('esp32'),
    )
    .addOption(
      new Option('--build <build>', 'who does the arithmetic')
        .choices(['small', 'noble', 'native'])
        .default('small'),
    )
    .option('--memory <kib>', 'memory of the chip, instead of what it has', wholeNumber)
    .option('--flash <file>', "its flash (default: the configured store's path with .flash)")
    .option('--interval <seconds>', 'between readings', wholeNumber, 60)
    .option('--time-scale <factor>', 'sleep passes so many times as fast', wholeNumber, 1)
    .option('--brown-outs <per-day>', 'power cuts a day', wholeNumber, 0)
    .option('--readings <count>', 'end after so many readings, everything delivered', wholeNumber)
    .option('--json', 'one JSON object an event, and one at the end')
    .action(emulateChip)
}

async function emulateChip(flags: EmulateFlags): Promise<void> {
  const { loadMeterConfig } = await import('../meter/config.ts')
  const { loadIdentity } = await import('#identity')
  const { brokerAccess } = await import('../meter/broker-access.ts')
  const { profiles } = await import('../emulator/profiles.ts')
  const { emulate } = await import('../emulator/run.ts')
  const { config, instances } = loadMeterConfig(flags.config)
  const [instance] = instances
  if (instance === undefined || instances.length > 1) {
    throw new CodedError(
      'cli/usage',
      'one chip is one meter: leave [fleet] out of the configuration',
    )
  }
  const { isFound } = await import('../meter/finding.ts')
  if (isFound(config.broker.url)) {
    throw new CodedError('cli/usage', 'a chip is told the address: write it as [broker] url')
  }
  const chosen = profiles[flags.profile]
  const memoryBytes = flags.memory === undefined ? chosen.memoryBytes : flags.memory * 1_024
  const stopping = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort())
  process.stderr.write(`fogmeter: ${chosen.about}; ${memoryBytes / 1_024} KiB for the program\n`)
  const result = await emulate({
    profile: { ...chosen, memoryBytes },
    variant: flags.build,
    identity: loadIdentity(instance.identity),
    node: config.node,
    broker: brokerAccess(config.broker),
    flashPath: flags.flash ?? `${instance.store.path}.flash`,
    seed: config.source.kind === 'sim' ? config.source.seed : 1,
    intervalS: flags.interval,
    timeScale: flags.timeScale,
    brownOuts: flags.brownOuts,
    readings: flags.readings ?? Infinity,
    signal: stopping.signal,
    onEvent: (event) =>
      process.stdout.write(flags.json === true ? `${JSON.stringify(event)}\n` : lineOf(event)),
  })
  process.stdout.write(flags.json === true ? `${JSON.stringify(result)}\n` : summaryOf(result))
  if (result.delivered) return
  throw new CodedError(
    'emulator/too-small',
    `${memoryBytes / 1_024} KiB are too little for this build: choose another --build or --profile, ` +
      'or try how much it takes with --memory',
  )
}

function lineOf({ event, atMs, ...more }: ChipEvent): string {
  const time = new Date(atMs).toISOString().slice(0, 19)
  const fields = Object.entries(more).map(([name, value]) => `${name}=${String(value)}`)
  return `${printable([time, event, ...fields].join(' '))}\n`
}

function summaryOf({ readings, sessions, days, spent, mostErases, ratedErases }: Emulated): string {
  const perDay = (value: number) => (days > 0 ? value / days : 0).toFixed(1)
  const { ms, mJ } = spent
  return [
    `${readings} readings, ${sessions} sessions in ${days.toFixed(2)} days of the chip`,
    `at this rate a day takes ${perDay(mJ / 1_000)} J, ${perDay((ms.cpu + ms.radio) / 1_000)} s awake, ` +
      `arithmetic ${perDay(spent.arithmeticMs / 1_000)} s`,
    `flash: ${mostErases} of ${ratedErases} erasures of the most worn sector used`,
    '',
  ].join('\n')
}
