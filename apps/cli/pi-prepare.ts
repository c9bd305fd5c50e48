import type { Command } from 'commander'
import { CodedError } from '#errors'
import type { NodeWishes } from '../pi/prepare.ts'
import { addSourceOptions } from './queries/options.ts'
import { readSecret } from './secret.ts'

/** As `addNodeOptions` reads them. */
export interface NodeFlags {
  fog?: string
  cloud: string
  cloudName: string
  cloudCa?: string
  api?: string
  apiCa?: string
  authorityKey: string
  mdns: boolean
  replace?: boolean
  url: string
  tokenFile?: string
  json?: boolean
}

interface PrepareFlags extends NodeFlags {
  image?: string
  device?: string
  confirm?: string
  files?: string
  deb?: string
  wifi?: string
  wifiPassphraseFile?: string
  country?: string
  timeZone?: string
  repository?: string
  repositoryKey?: string
  token: boolean
}

export function addPrepareCommand(pi: Command): void {
  const prepare = pi
    .command('prepare')
    .description('write settings, the authority to trust and a one-time token for one fog node')
    .option('--image <file>', 'into the boot partition of this unpacked image')
    .option('--device <disk>', 'into that of this card, which holds the image already')
    .option('--confirm <name>', "the card's name, where nobody can be asked, such as mmcblk0")
    .option('--files <folder>', 'as files for the boot partition of Raspberry Pi OS')
    .option('--deb <file>', 'the package they install')
    .option('--fog <name>', 'its name; without one it is claimed later')
    .option('--wifi <ssid>', 'the network to join; its passphrase is asked for')
    .option('--wifi-passphrase-file <file>', 'or read from here; "-" is standard input')
    .option('--country <code>', 'where the Pi is, such as DE: which channels it may use')
    .option('--time-zone <name>', 'such as Europe/Berlin')
    .option('--repository <url>', 'where its updates come from; without one it gets none')
    .option('--repository-key <file>', 'the public key that signs them, as gpg exports it')
    .option('--no-token', 'no token: the node is claimed with "fogmeter fog claim"')
  addNodeOptions(prepare)
  prepare.action(prepareNode)
}

/** What a fog node is to be, however the settings get to it. */
export function addNodeOptions(command: Command): void {
  command
    .requiredOption('--cloud <url>', "the cloud's broker, mqtts://HOST:PORT")
    .option('--cloud-name <name>', 'of the cloud service, where no token says so', 'cloud-a')
    .option('--cloud-ca <file>', "certificates to trust for it instead of the system's")
    .option('--api <url>', "the cloud's API as the Pi reaches it (default: --url)")
    .option('--api-ca <file>', "certificates to trust for it instead of the system's")
    .option(
      '--authority-key <file>',
      'public key of the authority it trusts',
      'authority/authority.pub',
    )
    .option('--no-mdns', 'do not tell its network by mDNS where it is')
    .option('--replace', 'revoke earlier credentials of this name once the new node enrols')
    .option('--json', 'print the result as JSON')
  addSourceOptions(command)
}

async function prepareNode(flags: PrepareFlags): Promise<void> {
  const { prepareCard } = await import('../pi/prepare.ts')
  const { systemRandom } = await import('#service')
  const { placeFiles } = await import('./pi-target.ts')
  requireWhole(flags)
  const place = await placeFiles(flags)
  const wishes = await wishesOf(flags)
  const register = await registration(flags)
  const card = await prepareCard(wishes, { register, random: systemRandom })
  place.write(card.files)
  report(flags, place.target, card.cloud, register !== null)
}

/** What would be ignored without the other. @throws cli/usage */
function requireWhole({ wifi, country, wifiPassphraseFile }: PrepareFlags): void {
  if (wifi === undefined && (country ?? wifiPassphraseFile) !== undefined)
    throw new CodedError('cli/usage', '--country and --wifi-passphrase-file belong to --wifi')
}

/** Null when the card gets no token. */
async function registration(flags: PrepareFlags) {
  if (!flags.token || flags.fog === undefined) return null
  const { openEnrolments } = await import('./enrolments.ts')
  const { approve } = openEnrolments(flags)
  return (id: Uint8Array, name: string) => approve({ id, name, replace: flags.replace ?? false })
}

async function wishesOf(flags: PrepareFlags): Promise<NodeWishes> {
  const { wifi, country, timeZone } = flags
  return {
    ...nodeWishes(flags),
    ...(wifi !== undefined && {
      wifi: {
        ssid: wifi,
        passphrase: await readSecret(flags.wifiPassphraseFile, `passphrase of "${wifi}"`),
        ...(country !== undefined && { country }),
      },
    }),
    ...(timeZone !== undefined && { timeZone }),
    ...updatesOf(flags),
  }
}

/** @throws cli/usage */
export function nodeWishes(flags: NodeFlags): NodeWishes {
  const { fog, cloud, cloudCa, apiCa } = flags
  return {
    ...(fog !== undefined && { fog }),
    cloud: { url: cloud, node: flags.cloudName, ...(cloudCa !== undefined && { ca: cloudCa }) },
    api: { url: flags.api ?? apiOf(flags.url), ...(apiCa !== undefined && { ca: apiCa }) },
    ...(!flags.mdns && { mdns: false }),
    authority: flags.authorityKey,
  }
}

function updatesOf({ repository, repositoryKey }: PrepareFlags): Pick<NodeWishes, 'updates'> {
  if (repository === undefined && repositoryKey === undefined) return {}
  if (repository !== undefined && repositoryKey !== undefined)
    return { updates: { repository, key: repositoryKey } }
  throw new CodedError('cli/usage', '--repository and --repository-key belong together')
}

/** This machine's own 127.0.0.1 is nothing to a Pi. */
function apiOf(url: string): string {
  if (!/^https?:\/\/(localhost|127\.|\[::1\])/.test(url)) return url
  const message = `the Pi cannot reach ${url}: say with --api where it finds the cloud's API`
  throw new CodedError('cli/usage', message)
}

function report(
  { fog, json }: PrepareFlags,
  target: string,
  cloud: string,
  withToken: boolean,
): void {
  if (json) {
    const result = { target, fog: fog ?? null, cloud, token: withToken }
    process.stdout.write(`${JSON.stringify(result)}\n`)
    return
  }
  const who = fog === undefined ? 'a fog node without a name' : `fog node "${fog}"`
  process.stdout.write(`${target} is ready to be ${who} of ${cloud}.\n`)
  process.stdout.write(
    withToken
      ? 'Start the Pi with it within 24 hours; its token counts once. It makes one node.\n'
      : 'Start the Pi with it, and claim it with the code on its screen: fogmeter fog claim CODE\n',
  )
}
