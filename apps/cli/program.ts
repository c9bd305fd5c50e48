import { Argument, Command, CommanderError } from 'commander'
import { exitCodeOf, exitCodes } from '#errors'
import packageFile from '../../package.json' with { type: 'json' }
import { addAuthorityCommands } from './authority.ts'
import { addBackupCommands } from './backup.ts'
import { addConfigCommand } from './config.ts'
import { describeError } from './errors.ts'
import { printableLines } from './printable.ts'
import { addRunCommands } from './run.ts'

const EXAMPLES = `
Examples:
  fogmeter authority init                        make an authority in ./authority
  fogmeter enrol fog fog-1                       keys and credential for a fog node
  fogmeter enrol meter kitchen --group house-7   … and for a meter
  fogmeter config check agent.toml --for agent   is this file right?
  fogmeter meter read --source p1:/dev/ttyUSB0   what does my meter say?
  fogmeter agent run --config agent.toml         run a program
  fogmeter backup agent --config agent.toml --out fog-1.backup
                                                 its store as one file, while it runs
  fogmeter summary list --since 2h               ask the cloud
  fogmeter meter list                            each meter's newest signed register

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 not found or not readable,
4 not verified or damaged.
Data goes to standard output, everything else to standard error.
`

const COMPLETION_HELP = `
For every new shell, add to its start file:
  bash   source <(fogmeter completion bash)      in ~/.bashrc
  zsh    source <(fogmeter completion zsh)       in ~/.zshrc
  fish   fogmeter completion fish | source       in ~/.config/fish/config.fish
`

/**
 * Every command of `fogmeter`. Actions import what they need when they run, so that help is quick;
 * the queries bring tables and an HTTP client along, so they can be left out.
 */
export async function buildProgram({ queries }: { queries: boolean }): Promise<Command> {
  const program = new Command('fogmeter')
    .description('Secure smart metering over MQTT: enrol devices, run the programs, ask the cloud.')
    .version(packageFile.version, '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show help for any command')
    .helpCommand(false)
    .showSuggestionAfterError()
    .showHelpAfterError('(add --help to see what it takes)')
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({ writeErr: (text) => process.stderr.write(printableLines(text)) })
    .addHelpText('after', EXAMPLES)
    .exitOverride()
  program.commandsGroup('Devices:')
  addAuthorityCommands(program)
  program.commandsGroup('Programs:')
  addRunCommands(program)
  addConfigCommand(program)
  addBackupCommands(program)
  program.commandsGroup('Questions to the cloud:')
  if (queries) (await import('./queries/index.ts')).registerQueries(program)
  addCompletion(program)
  return program
}

/** Parses and runs one command line; sets the exit code. */
export async function runCli(args: readonly string[]): Promise<void> {
  // A closed pipe (`| head`) is the reader's decision, not a failure of ours.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(exitCodes.ok)
    throw error
  })
  try {
    const program = await buildProgram({ queries: mayQuery(args) })
    if (args.length === 0) program.help({ error: true })
    await program.parseAsync(args, { from: 'user' })
  } catch (error) {
    process.exitCode = failed(error)
  }
}

/** A program that is started, and what an authority does, needs no queries. */
function mayQuery([first = '', second]: readonly string[]): boolean {
  return (
    second !== 'run' &&
    second !== 'read' &&
    second !== 'emulate' &&
    !['authority', 'enrol', 'revoke', 'config', 'backup', 'restore'].includes(first)
  )
}

/** Commander has written its own message already. */
function failed(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage
  process.stderr.write(describeError(error))
  return exitCodeOf(error)
}

function addCompletion(program: Command): void {
  program
    .commandsGroup('This command line:')
    .command('completion')
    .addArgument(new Argument('<shell>', 'yours').choices(['bash', 'zsh', 'fish']))
    .description('a script that completes commands; in bash: source <(fogmeter completion bash)')
    .addHelpText('after', COMPLETION_HELP)
    .action(async (shell: 'bash' | 'zsh' | 'fish') => {
      const { completionScripts } = await import('./completion.ts')
      process.stdout.write(completionScripts[shell])
    })
  program
    .command('complete [words...]', { hidden: true })
    .description('what the scripts of "fogmeter completion" ask')
    .action(async (words: string[]) => {
      const { complete } = await import('./complete.ts')
      const lines = complete(program, words).map(({ value, about }) => `${value}\t${about}\n`)
      process.stdout.write(lines.join(''))
    })
}
