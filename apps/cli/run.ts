import type { Command } from 'commander'
import type { RunningService, ServiceContext } from '#service'
import { wholeNumber } from './authority.ts'
import { addEmulateCommand } from './emulate.ts'
import { addReadCommand } from './read.ts'

/** A program ready to start: its configuration is read and right. */
interface Program {
  config: { log: { level: string } }
  start: (context: ServiceContext) => Promise<RunningService>
  stopTimeoutMs?: number
}

interface MeterFlags {
  config: string
  source?: string
  stopAfter?: number
  maxReadings?: number
  stay?: boolean
  logTelegrams?: string
}

const SOURCES = 'sim, replay, csv:FILE, stdin, p1:PORT, sml:PORT or modbus:PORT?profile=NAME'

/** `broker|agent|cloud|meter run --config FILE`. */
export function addRunCommands(program: Command): void {
  const about = {
    broker: 'the broker of a fog node or of the cloud; it holds no keys',
    agent: "the fog node's agent: verifies and sums up readings, passes summaries on",
    cloud: 'the cloud service: stores summaries, answers queries',
  }
  addRun(program, 'broker', about.broker).action((flags) => start('broker', () => broker(flags)))
  addRun(program, 'agent', about.agent).action((flags) => start('agent', () => agent(flags)))
  addRun(program, 'cloud', about.cloud).action((flags) => start('cloud', () => cloud(flags)))
  const run = addRun(program, 'meter', 'meters: one, or a fleet in one process')
  run
    .option('--source <source>', `instead of the configured one: ${SOURCES}`)
    .option('--log-telegrams <file>', 'append every byte of a p1 or sml port to this file')
    .option('--stop-after <seconds>', 'stop measuring after this long', wholeNumber)
    .option('--max-readings <count>', 'stop after this many readings of each meter', wholeNumber)
    .option('--stay', 'stay when nothing is left to measure and to deliver, instead of ending')
    .action((flags: MeterFlags) => start('meter', () => meter(flags)))
  if (run.parent === null) return
  addReadCommand(run.parent)
  addEmulateCommand(run.parent)
}

function addRun(program: Command, name: string, description: string): Command {
  return program
    .command(name)
    .helpCommand(false)
    .description(description)
    .command('run')
    .description(`run ${description}`)
    .requiredOption('--config <file>', `a TOML file; deploy/examples/${name}.toml explains it`)
}

/** Wrong configurations end here, with exit code 2; what happens later is the log's. */
async function start(name: string, prepare: () => Promise<Program>): Promise<void> {
  const { config, start: begin, stopTimeoutMs } = await prepare()
  const { runService } = await import('#service')
  await runService({
    name,
    ...(stopTimeoutMs !== undefined && { stopTimeoutMs }),
    start: (context) => {
      context.log.level = config.log.level
      return begin(context)
    },
  })
}

async function broker(flags: { config: string }): Promise<Program> {
  const { brokerConfig, loadConfig } = await import('#config')
  const config = loadConfig(brokerConfig, flags.config)
  const { runBroker } = await import('../broker/run.ts')
  return { config, start: (context) => runBroker(context, config) }
}

async function agent(flags: { config: string }): Promise<Program> {
  const { agentConfig, loadConfig } = await import('#config')
  const config = loadConfig(agentConfig, flags.config)
  const { runAgent } = await import('../agent/run.ts')
  return { config, start: (context) => runAgent(context, config) }
}

async function cloud(flags: { config: string }): Promise<Program> {
  const { cloudConfig, loadConfig } = await import('#config')
  const config = loadConfig(cloudConfig, flags.config)
  const { runCloud } = await import('../cloud/run.ts')
  return { config, start: (context) => runCloud(context, config) }
}

async function meter(flags: MeterFlags): Promise<Program> {
  const { loadMeterConfig } = await import('../meter/config.ts')
  const plan = loadMeterConfig(flags.config, flags.source)
  const { meterStopTimeoutMs, runMeter } = await import('../meter/run.ts')
  const { stopAfter, maxReadings, stay, logTelegrams } = flags
  const options = {
    ...(stopAfter !== undefined && { stopAfterSeconds: stopAfter }),
    ...(maxReadings !== undefined && { maxReadings }),
    ...(stay !== undefined && { stay }),
    ...(logTelegrams !== undefined && { logTelegrams }),
  }
  return {
    config: plan.config,
    start: (context) => runMeter(context, plan, options),
    stopTimeoutMs: meterStopTimeoutMs,
  }
}
