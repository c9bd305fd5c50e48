import { codeOf, CodedError, exitCodeOf } from '#errors'
import { parseCommand } from './arguments.ts'
import { runService, type RunningService, type ServiceContext } from './run.ts'

export interface ProgramOptions<Config> {
  name: string
  /** One line for `--help`. */
  about: string
  /** Reads and checks the configuration file; throws `config/…`. */
  load(path: string): Config
  start(context: ServiceContext, config: Config, configPath: string): Promise<RunningService>
  stopTimeoutMs?: number
}

/**
 * The whole of a `main.ts`: command line, configuration, life from start to stop.
 * The log level follows `config.log.level` where there is one.
 */
export async function runProgram<Config extends { log?: { level: string } }>(
  options: ProgramOptions<Config>,
): Promise<void> {
  const command = parseCommand(options.name, options.about, process.argv.slice(2))
  if (command.run === 'print') {
    const stream = command.exitCode === 0 ? process.stdout : process.stderr
    stream.write(command.text)
    process.exitCode = command.exitCode
  } else if (command.run === 'check') {
    process.exitCode = check(() => options.load(command.config))
  } else {
    await runService({
      name: options.name,
      ...(options.stopTimeoutMs !== undefined && { stopTimeoutMs: options.stopTimeoutMs }),
      start: async (context) => {
        const config = options.load(command.config)
        if (config.log !== undefined) context.log.level = config.log.level
        return options.start(context, config, command.config)
      },
    })
  }
}

function check(load: () => unknown): number {
  try {
    load()
    return 0
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    process.stderr.write(`${error.message} (${codeOf(error)})\n`)
    return exitCodeOf(error)
  }
}
