import { parseArgs } from 'node:util'
import { version } from './version.ts'

/** What a program's command line asks for. */
export type Command =
  { run: 'start' | 'check'; config: string } | { run: 'print'; text: string; exitCode: number }

/**
 * `PROGRAM [--check] CONFIG`, and the usual `--help` and `--version`. Settings have one home, the
 * file; secrets in particular never stand on a command line, where every user can read them.
 */
export function parseCommand(name: string, about: string, args: readonly string[]): Command {
  const usage = `fogmeter ${name}: ${about}

usage: node apps/${name}/main.ts [--check] CONFIG

  CONFIG      a TOML file; deploy/examples/${name}.toml explains every key
  --check     check the file, say nothing if it is right, and stop
  --version   show the version
  --help      show this
`
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        check: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean' },
      },
    })
    if (values.help) return { run: 'print', text: usage, exitCode: 0 }
    if (values.version) return { run: 'print', text: `fogmeter ${version}\n`, exitCode: 0 }
    const [config, ...more] = positionals
    if (config === undefined || more.length > 0) return { run: 'print', text: usage, exitCode: 2 }
    return { run: values.check ? 'check' : 'start', config }
  } catch (error) {
    const text = `${error instanceof Error ? error.message : String(error)}\n\n${usage}`
    return { run: 'print', text, exitCode: 2 }
  }
}
