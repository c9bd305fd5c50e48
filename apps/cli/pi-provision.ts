import { setTimeout as sleep } from 'node:timers/promises'
import type { Command } from 'commander'
import type { Register } from '../pi/prepare.ts'
import type { Step } from '../pi/provision.ts'
import { wholeNumber } from './authority.ts'
import { addNodeOptions, nodeWishes, type NodeFlags } from './pi-prepare.ts'
import { print, printJson, say } from './queries/output.ts'

interface ProvisionFlags extends NodeFlags {
  fog: string
  package: string
  ssh: string
  wait: number
  token: boolean
}

const sentences: Readonly<Record<Step, string>> = {
  checked: 'architecture, system, space, clock and rights are right',
  copied: 'the package is there, whole',
  installed: 'the package is installed',
  settings: 'its settings are there',
  started: 'the node is started',
  reported: 'the cloud has heard of it',
}

export function addProvisionCommand(pi: Command): void {
  const provision = pi
    .command('provision')
    .argument('<target>', 'user@host, as ssh takes it')
    .description('over SSH: make an existing Raspberry Pi OS (64-bit) a fog node; may be repeated')
    .requiredOption('--package <file>', 'the package for its architecture, of "npm run package"')
    .requiredOption('--fog <name>', 'its name')
    .option('--ssh <command>', 'what to reach it with, such as "ssh -p 2222"', 'ssh')
    .option(
      '--no-token',
      'no token: somebody compares the code it shows, and runs "fogmeter fog claim"',
    )
    .option('--wait <seconds>', 'how long to wait until the cloud hears of it', wholeNumber, 300)
  addNodeOptions(provision)
  provision.action(provisionNode)
}

async function provisionNode(target: string, flags: ProvisionFlags): Promise<void> {
  const { provision } = await import('../pi/provision.ts')
  const { openRemote } = await import('../pi/remote.ts')
  const { systemClock, systemRandom } = await import('#service')
  const { openEnrolments } = await import('./enrolments.ts')
  const { fog } = flags
  const { openHttpSource } = await import('./queries/http-source.ts')
  const enrolments = openEnrolments(flags)
  const source = openHttpSource(flags)
  const steps: { step: Step; already: boolean }[] = []
  let cloud = flags.cloudName
  const register: Register = async (id, name) => {
    const approved = await enrolments.approve({ id, name, replace: flags.replace ?? false })
    cloud = approved.cloud
    return approved
  }
  await provision({
    remote: openRemote(target, flags.ssh),
    deb: flags.package,
    wishes: { ...nodeWishes(flags), fog },
    random: systemRandom,
    clock: systemClock,
    register: flags.token ? register : null,
    sleep: (ms) => sleep(ms),
    patienceMs: 1_000 * flags.wait,
    async lastHeard() {
      const { items } = await enrolments.list()
      if (!items.some(({ name, signed }) => name === fog && signed)) return null
      return (await source.fogs({ fog })).items[0]?.lastSeen ?? null
    },
    onWords: (words) => say(`  ${words}`),
    onCode(code) {
      say(`${target} shows this code; claim it while this waits:`)
      say(`  fogmeter fog claim ${code} --name ${fog}`)
    },
    onStep(step, already) {
      steps.push({ step, already })
      say(`${sentences[step]}${already ? ' (already)' : ''}`)
    },
  })
  if (flags.json) return printJson({ target, fog, cloud, steps })
  print(`${target} is fog node "${fog}".`)
}
