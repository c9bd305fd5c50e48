import { Option, type Command } from 'commander'
import type { CloudConfig } from '#config'

/** `node` is node.toml on a Pi's boot partition. */
const programs = ['broker', 'agent', 'cloud', 'meter', 'node'] as const
type Program = (typeof programs)[number]

/** `config check`: the same check a program makes at its start, without starting it. */
export function addConfigCommand(program: Command): void {
  program
    .command('config')
    .helpCommand(false)
    .description('configuration files')
    .command('check')
    .description('check a file; says everything that is wrong with it, and how to write it right')
    .argument('<file>', 'a TOML file; deploy/examples has one for each program')
    .addOption(
      new Option('--for <program>', 'the program it is for')
        .choices(programs)
        .makeOptionMandatory(),
    )
    .action(checkConfig)
}

async function checkConfig(file: string, options: { for: Program }): Promise<void> {
  const config = await import('#config')
  if (options.for === 'meter') {
    const { loadMeterConfig } = await import('../meter/config.ts')
    loadMeterConfig(file)
  } else {
    const { brokerConfig, agentConfig, cloudConfig, loadConfig, nodeConfig } = config
    if (options.for === 'broker') loadConfig(brokerConfig, file)
    else if (options.for === 'agent') loadConfig(agentConfig, file)
    else if (options.for === 'node') loadConfig(nodeConfig, file)
    else await checkGuarded(loadConfig(cloudConfig, file))
  }
  process.stdout.write(`${file}: right for the ${options.for}\n`)
}

async function checkGuarded({ http }: CloudConfig): Promise<void> {
  const { assertGuarded } = await import('../cloud/http/auth.ts')
  assertGuarded(http)
}
