import { resolve } from 'node:path'
import type { Command } from 'commander'
import { setTimeout as sleep } from 'node:timers/promises'
import { CodedError, wordsOf } from '#errors'
import { wholeNumber } from './authority.ts'
import { addPrepareCommand } from './pi-prepare.ts'
import { addProvisionCommand } from './pi-provision.ts'
import { printable } from './printable.ts'

/** `pi …`: how a Raspberry Pi becomes a fog node. */
export function addPiCommands(program: Command): void {
  const pi = program.command('pi').helpCommand(false).description('make a Raspberry Pi a fog node')
  addPrepareCommand(pi)
  addProvisionCommand(pi)
  pi.command('first-boot')
    .description('on the Pi, at its start: makes its key, enrols, configures the programs')
    .option('--boot <folder>', 'what "pi prepare" wrote', '/boot/firmware/fogmeter')
    .option('--state <folder>', 'where the node keeps itself', '/var/lib/fogmeter')
    .option('--etc <folder>', "where the programs' configurations go", '/etc/fogmeter')
    .option('--page <port>', 'where a node to be claimed shows its code', wholeNumber, 8_080)
    .option('--no-page', 'on the screen only')
    .action(runFirstBoot)
  pi.command('machine')
    .description('on the Pi, before the network: host name, time zone and Wi-Fi of node.toml')
    .option('--boot <folder>', 'what "pi prepare" wrote', '/boot/firmware/fogmeter')
    .option('--root <folder>', 'whose etc to write to', '/')
    .action(runMachine)
  addRepositoryCommand(pi)
}

function addRepositoryCommand(pi: Command): void {
  pi.command('repository')
    .description('name the repository that updates come from; no other package is taken from there')
    .argument('<url>', 'of the folder that "npm run repository" made')
    .requiredOption('--key <file>', 'the public key that signs it, as gpg exports it')
    .option('--root <folder>', 'whose etc to write to', '/')
    .action(runRepository)
}

async function runRepository(
  url: string,
  { key, root }: { key: string; root: string },
): Promise<void> {
  if (!/^https?:\/\/[^\s/]+(\/\S*)?$/.test(url) || !URL.canParse(url))
    throw new CodedError('cli/usage', `${url} is not http://HOST/FOLDER or https://HOST/FOLDER`)
  if (new URL(url).username !== '' || new URL(url).password !== '')
    throw new CodedError(
      'cli/usage',
      'everybody can read this address: user name and password go into /etc/apt/auth.conf.d/fogmeter.conf ' +
        'instead, see apt_auth.conf(5)',
    )
  const { readRepositoryKey, writeRepository } = await import('../pi/repository.ts')
  say(writeRepository(root, { url, key: readRepositoryKey(key) }))
}

async function runMachine({ boot, root }: { boot: string; root: string }): Promise<void> {
  const { configureMachine } = await import('../pi/machine.ts')
  for (const line of configureMachine(boot, root)) say(line)
}

interface FirstBootFlags {
  boot: string
  state: string
  etc: string
  page: number | false
}

async function runFirstBoot({ boot, state, etc, page }: FirstBootFlags): Promise<void> {
  const { firstBoot } = await import('../pi/first-boot.ts')
  const { askCloud } = await import('../pi/ask.ts')
  const { systemRandom } = await import('#service')
  const name = await firstBoot({
    boot: resolve(boot),
    state: resolve(state),
    etc: resolve(etc),
    random: systemRandom,
    ask: askCloud,
    wait: (ms) => sleep(ms),
    say,
    show: (code, wish) => show(code, wish, page),
  })
  say(`this is fog node "${name}"`)
}

/** Of a node that waits to be claimed; the screen alone does where the page cannot be. */
async function show(
  code: string,
  name: string | null,
  page: number | false,
): Promise<() => Promise<void>> {
  const { claimLines, serveClaimPage } = await import('../pi/claim-page.ts')
  for (const line of claimLines(code, name)) say(line)
  if (page === false) return async () => {}
  try {
    const { port, close } = await serveClaimPage({ port: page }, code, name)
    say(`also on http://THIS-PI:${port}/`)
    return close
  } catch (error) {
    say(wordsOf(error))
    return async () => {}
  }
}

function say(line: string): void {
  process.stderr.write(`fogmeter: ${printable(line)}\n`)
}
