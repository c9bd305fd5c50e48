import { Argument, type Command } from 'commander'
import type { BackupReport } from '#sqlite'

const programs = ['agent', 'cloud', 'meter'] as const
type StoreKind = (typeof programs)[number]

interface Flags {
  config: string
  json?: boolean
}

/** `backup` and `restore`: the store of a program, as one file and back. */
export function addBackupCommands(program: Command): void {
  addBackup(program, 'backup', 'copy the store of a program into one file, also while it runs')
    .requiredOption('--out <file>', 'the file to make')
    .option('--force', 'replace the file if it is there already')
    .action(backup)
  addBackup(program, 'restore', 'put a backup in the place of the store of a stopped program')
    .requiredOption('--from <file>', 'a file that "fogmeter backup" made')
    .action(restore)
}

function addBackup(program: Command, name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .addArgument(new Argument('<program>', 'whose store').choices(programs))
    .requiredOption('--config <file>', 'the TOML file the program runs with')
    .option('--json', 'print the result as JSON')
}

async function backup(
  kind: StoreKind,
  flags: Flags & { out: string; force?: boolean },
): Promise<void> {
  const { backupDatabase } = await import('#sqlite')
  const { path, owner } = await storeOf(kind, flags.config)
  const report = await backupDatabase(path, flags.out, {
    kind,
    owner,
    now: Date.now,
    onProgress: progressOf(process.stderr),
    ...(flags.force !== undefined && { force: flags.force }),
  })
  if (flags.json) return print(report)
  say(`Backed up the store of ${kind} ${owner}, as of ${iso(report)}, into ${report.path}.`)
  say(`It is whole (${report.bytes} bytes) and as secret as the store itself.`)
}

async function restore(kind: StoreKind, flags: Flags & { from: string }): Promise<void> {
  const { restoreDatabase } = await import('#sqlite')
  const { path, owner, tryOut } = await storeOf(kind, flags.config)
  const stamp = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '')
  const report = restoreDatabase(flags.from, path, { kind, owner, stamp, tryOut })
  if (flags.json) return print(report)
  say(`Restored the store of ${kind} ${owner} as of ${iso(report)} to ${path}.`)
  if (report.kept !== null) say(`The store that was there is kept as ${report.kept}.`)
  say('Start the program: it reports what came after the backup, and gets back what it can.')
}

interface Store {
  path: string
  owner: string
  /** Opens a copy with the code of the program itself. */
  tryOut: (path: string) => void
}

async function storeOf(kind: StoreKind, config: string): Promise<Store> {
  const { agentConfig, cloudConfig, loadConfig } = await import('#config')
  if (kind === 'meter') return meterStoreOf(config)
  if (kind === 'agent') {
    const { store, identity } = loadConfig(agentConfig, config)
    const { openFogStore } = await import('#fog-store')
    const tryOut = (path: string) => openFogStore(path, { now: Date.now }).close()
    return { path: store.path, owner: await ownerOf(identity), tryOut }
  }
  const { store, identity } = loadConfig(cloudConfig, config)
  const { openCloudStore } = await import('#cloud-store')
  const tryOut = (path: string) => openCloudStore(path).database.close()
  return { path: store.path, owner: await ownerOf(identity), tryOut }
}

async function ownerOf(identity: { credential: string; authority: string }) {
  const { loadDeviceId } = await import('#identity')
  return loadDeviceId(identity)
}

/** The meters of one file are backed up together; it goes by the name of the first. */
async function meterStoreOf(config: string): Promise<Store> {
  const { loadMeterConfig } = await import('../meter/config.ts')
  const { openMeterStore } = await import('#meter-store')
  const { instances } = loadMeterConfig(config)
  const paths = new Set(instances.map(({ store }) => store.path))
  const [first] = instances
  if (first === undefined || paths.size > 1) {
    const { CodedError } = await import('#errors')
    throw new CodedError(
      'cli/several-stores',
      `${config} has ${paths.size} store files: only meters that share one are backed up together; ` +
        'give store.path without {name}, or a configuration for each meter',
    )
  }
  const tryOut = (path: string) => openMeterStore(path).close()
  return { path: first.store.path, owner: first.name, tryOut }
}

/** On a terminal only: a line that counts, for what takes longer than a moment. */
function progressOf(stream: NodeJS.WriteStream): (done: number, total: number) => void {
  const startedMs = performance.now()
  let shown = false
  return (done, total) => {
    if (!stream.isTTY || performance.now() - startedMs < 500) return
    shown ||= done < total
    if (shown)
      stream.write(
        `\r${Math.floor((100 * done) / Math.max(total, 1))} %${done < total ? '' : '\n'}`,
      )
  }
}

function iso({ takenS }: Pick<BackupReport, 'takenS'>): string {
  return new Date(takenS * 1000).toISOString().replace('.000', '')
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

function print(value: object): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
