import { Argument, InvalidArgumentError, type Command } from 'commander'

interface Where {
  authority: string
  json?: boolean
}

/** `authority init`, `enrol`, `revoke`: what the operator does on a machine that is otherwise off line. */
export function addAuthorityCommands(program: Command): void {
  const authority = program
    .command('authority')
    .helpCommand(false)
    .description('the authority that names devices; its folder belongs on a machine off line')
  authority
    .command('init')
    .description('make an authority: its key, an empty revocation list, a record of enrolments')
    .option('--dir <folder>', 'where', 'authority')
    .option('--name <name>', 'its name in every credential', 'fogmeter')
    .option('--json', 'print the paths as JSON')
    .action(initAuthority)

  program
    .command('enrol')
    .description('make a key and a credential for a device')
    .addArgument(new Argument('<role>', 'what it is').choices(['meter', 'fog', 'cloud']))
    .argument('<name>', 'its name: 1 to 32 letters, digits, ".", "_" or "-"')
    .option('--group <group>', 'devices talk only within their group', 'default')
    .option('--days <days>', 'how long the credential is valid', wholeNumber, 1_825)
    .option(
      '--out <folder>',
      "where its files go (default: enrolled/NAME in the authority's folder)",
    )
    .option('--replace', 'revoke its earlier credentials; let the old device drain first')
    .option('--authority <folder>', 'the authority', 'authority')
    .option('--json', 'print the paths as JSON')
    .action(enrolDevice)

  program
    .command('revoke')
    .description('revoke every credential of a device and sign a new revocation list')
    .argument('<name>', 'the device')
    .option('--authority <folder>', 'the authority', 'authority')
    .option('--json', 'print the result as JSON')
    .action(revokeDevice)
}

async function initAuthority(options: { dir: string; name: string; json?: boolean }) {
  const { createAuthority } = await import('#identity')
  const paths = createAuthority(options.dir, { name: options.name })
  if (options.json) return print(paths)
  say(`Made the authority "${options.name}" in ${options.dir}.`)
  say(`Keep ${paths.key} secret and backed up: who holds it can name devices.`)
  say(`Next: fogmeter enrol fog fog-1${authorityFlag(options.dir)}`)
}

async function enrolDevice(
  role: 'meter' | 'fog' | 'cloud',
  name: string,
  options: Where & { group: string; days: number; out?: string; replace?: boolean },
) {
  const { enrol } = await import('#identity')
  const { group, days, out, replace = false } = options
  const { replaced, ...paths } = enrol(options.authority, role, name, {
    group,
    days,
    replace,
    ...(out !== undefined && { out }),
  })
  if (replaced > 0) for (const line of whenReplaced[role]) warn(line)
  if (options.json) return print(paths)
  say(`Enrolled ${role} "${name}" in group "${group}" for ${days} days. Copy these to it:`)
  for (const path of [paths.key, paths.credential, paths.authority, paths.revocations]) {
    if (path !== null) say(`  ${path}`)
  }
}

async function revokeDevice(name: string, options: Where) {
  const { revoke } = await import('#identity')
  const { toBase64Url } = await import('#bytes')
  const { revocations, number, ids } = revoke(options.authority, name)
  if (options.json) return print({ revocations, number, ids: ids.map(toBase64Url) })
  const many = ids.length === 1 ? 'its credential' : `its ${ids.length} credentials`
  say(`Revoked "${name}" (${many}); this is list number ${number}.`)
  say(`Copy ${revocations} to the cloud and the fog nodes: it counts within a minute of arriving.`)
}

/** Readings signed with the old key are worth nothing once it is revoked. */
const whenReplaced = {
  meter: [
    'Let the old meter drain first, before these files or the new revoked.cose arrive anywhere: started',
    'with --stop-after 1 it ends when everything is delivered. What it still holds after that was signed',
    'with the old key, and is refused for good.',
  ],
  fog: [
    'If its store does not move along, let the old fog node drain first, before the new revoked.cose',
    'arrives anywhere: stop its meters and wait until "fogmeter fog list" shows BACKLOG 0. With its store',
    'it goes on under the new key.',
  ],
  cloud: [
    'Put these files and the new revoked.cose in place together. The fog nodes drain into the new one:',
    'they keep what they hold until they reach a cloud whose credential counts.',
  ],
} as const

function authorityFlag(folder: string): string {
  return folder === 'authority' ? '' : ` --authority ${folder}`
}

/** A whole number above 0, for commander. */
export function wholeNumber(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It must be a whole number above 0.')
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Not data: a script that reads the paths does not see it. */
function warn(line: string): void {
  process.stderr.write(`${line}\n`)
}

function print(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
