import type { Command } from 'commander'
import { setTimeout as sleep } from 'node:timers/promises'
import { addPrepareCommand } from './pi-prepare.ts'
import { printable } from './printable.ts'

/** `pi …`: how a Raspberry Pi becomes a fog node. */
export function addPiCommands(program: Command): void {
  const pi = program.command('pi').helpCommand(false).description('make a Raspberry Pi a fog node')
  addPrepareCommand(pi)
  pi.command('first-boot')
    .description('on the Pi, at its start: makes its key, enrols, configures the programs')
    .option('--boot <folder>', 'what "pi prepare" wrote', '/boot/firmware/fogmeter')
    .option('--state <folder>', 'where the node keeps itself', '/var/lib/fogmeter')
    .option('--etc <folder>', "where the programs' configurations go", '/etc/fogmeter')
    .action(runFirstBoot)
  pi.command('machine')
    .description('on the Pi, before the network: host name, time zone and Wi-Fi of node.toml')
    .option('--boot <folder>', 'what "pi prepare" wrote', '/boot/firmware/fogmeter')
    .option('--root <folder>', 'whose etc to write to', '/')
    .action(runMachine)
}

async function runMachine({ boot, root }: { boot: string; root: string }): Promise<void> {
  const { configureMachine } = await import('../pi/machine.ts')
  for (const line of configureMachine(boot, root))
    process.stderr.write(`fogmeter: ${printable(line)}\n`)
}

async function runFirstBoot(options: { boot: string; state: string; etc: string }): Promise<void> {
  const { firstBoot } = await import('../pi/first-boot.ts')
  const { askCloud } = await import('../pi/ask.ts')
  const { systemRandom } = await import('#service')
  const name = await firstBoot({
    ...options,
    random: systemRandom,
    ask: askCloud,
    wait: (ms) => sleep(ms),
    say: (line) => void process.stderr.write(`fogmeter: ${printable(line)}\n`),
  })
  process.stderr.write(`fogmeter: this is fog node "${name}"\n`)
}
