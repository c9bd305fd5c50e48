/**
 * `npm run chaos -- <subcommand> [options]`: real programs under failure, at any length. Each
 * subcommand is a file beside this one that exports `run`; it is loaded only when asked for.
 * Progress on stderr, the result on stdout; exit code 0 when the programs kept their promises.
 */
interface Subcommand {
  about: string
  load: () => Promise<{ run: (args: string[]) => Promise<number> }>
}

const subcommands: Record<string, Subcommand> = {
  powercut: {
    about: 'cut the power at recorded moments and open what the disk is left with',
    load: () => import('./powercut.ts'),
  },
  soak: {
    about: 'a long time at high load: memory, descriptors, WALs, stores',
    load: () => import('./soak.ts'),
  },
  chips: {
    about: 'emulated chips whose power goes at random instants',
    load: () => import('./chips.ts'),
  },
  kill: { about: 'SIGKILL every process, again and again', load: () => import('./kill.ts') },
  network: {
    about: 'a network and brokers that misbehave in every way',
    load: () => import('./network.ts'),
  },
  update: {
    about: 'cut the power while a node updates itself, on a real root (as root)',
    load: () => import('./update.ts'),
  },
  moves: {
    about: 'meters and fog nodes that change places, and a disk that is replaced',
    load: () => import('./moves.ts'),
  },
}

const USAGE_ERROR = 2

function usage(): string {
  const width = Math.max(...Object.keys(subcommands).map((name) => name.length))
  const lines = Object.entries(subcommands).map(
    ([name, { about }]) => `  ${name.padEnd(width)}  ${about}`,
  )
  return `usage: npm run chaos -- <subcommand> [options]

${lines.join('\n')}

Every subcommand takes --seed N (a random one is printed otherwise), --json, --markdown and --help.
`
}

const [name, ...rest] = process.argv.slice(2)
const chosen =
  name !== undefined && Object.hasOwn(subcommands, name) ? subcommands[name] : undefined
if (chosen !== undefined) {
  const { run } = await chosen.load()
  process.exitCode = await run(rest)
} else if (name === '--help') {
  process.stdout.write(usage())
} else {
  if (name !== undefined) process.stderr.write(`there is no ${name}\n`)
  process.stderr.write(usage())
  process.exitCode = USAGE_ERROR
}
