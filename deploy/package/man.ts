/** fogmeter(1), from the command line's own descriptions. */
import type { Command } from 'commander'

export interface ManPage {
  version: string
  /** `YYYY-MM-DD` */
  date: string
}

const intro = `Fogmeter is secure smart metering over MQTT with small computers as fog nodes. Meters seal and sign
their readings, an agent beside a broker verifies them and sums them up, and a cloud service keeps the
summaries. This command starts each of these programs, makes and revokes identities, and asks the cloud.`

const files: readonly (readonly [string, string])[] = [
  [
    '/etc/fogmeter/broker.toml, agent.toml, cloud.toml',
    'Configuration of the units fogmeter-broker, fogmeter-agent and fogmeter-cloud. The examples beside them, NAME.toml.example, explain every key. A unit does nothing before its file exists.',
  ],
  ['/etc/fogmeter/meters/NAME.toml', 'Configuration of the unit fogmeter-meter@NAME.'],
  [
    '/etc/fogmeter/keys/',
    'Private keys, for root alone: agent.key, cloud.key, and NAME.key of each meter. systemd hands each to its program, where it is called credential:agent.key and so on.',
  ],
  ['/var/lib/fogmeter/', 'Stores. Do not copy them while their programs run; use fogmeter backup.'],
  [
    '/var/lib/fogmeter-versions/',
    'The version that runs, and the one before it. /usr/lib/fogmeter/versions which says its name, and back takes the last update back.',
  ],
  [
    '/usr/lib/fogmeter/update',
    'Installs a newer version, if the repository of fogmeter pi repository has one. The unit fogmeter-update.timer does so every day.',
  ],
  ['/usr/lib/fogmeter/run-unit', 'Runs a unit under its own settings where systemd is absent.'],
]

const exits: readonly (readonly [string, string])[] = [
  ['0', 'done'],
  ['1', 'failed'],
  ['2', 'wrong usage or configuration'],
  ['3', 'not found or not readable'],
  ['4', 'not verified, or damaged'],
]

export function manPage(program: Command, { version, date }: ManPage): string {
  const lines = [
    `.TH FOGMETER 1 ${date} "fogmeter ${text(version)}" "User Commands"`,
    '.SH NAME',
    'fogmeter \\- secure smart metering over MQTT',
    '.SH SYNOPSIS',
    '.B fogmeter',
    '.I command',
    '.RI [ options ]',
    '.SH DESCRIPTION',
    ...intro.split('\n').map(text),
    '.SH COMMANDS',
    ...leaves(program).flatMap(commandLines),
    '.SH FILES',
    ...files.flatMap(tagged),
    '.SH EXIT STATUS',
    ...exits.flatMap(tagged),
    '.SH SEE ALSO',
    '.BR systemctl (1),',
    '.BR journalctl (1)',
  ]
  return `${lines.join('\n')}\n`
}

/** Commands that do something, with their full names, in the order of the help. */
function leaves(command: Command, above = 'fogmeter'): { name: string; command: Command }[] {
  return command
    .createHelp()
    .visibleCommands(command)
    .flatMap((child) => {
      const name = `${above} ${child.name()}`
      const below = leaves(child, name)
      return below.length > 0 ? below : [{ name, command: child }]
    })
}

function commandLines({ name, command }: { name: string; command: Command }): string[] {
  const help = command.createHelp()
  const usage = command.usage()
  const options = help.visibleOptions(command).filter(({ long }) => long !== '--help')
  const entries = [
    ...command.registeredArguments.map((argument) => [
      help.argumentTerm(argument),
      help.argumentDescription(argument),
    ]),
    ...options.map((option) => [option.flags, help.optionDescription(option)]),
  ]
  return [
    '.TP',
    `.B ${text(name)} ${text(usage)}`,
    text(sentence(command.description())),
    ...(entries.length === 0
      ? []
      : ['.RS', ...entries.flatMap(([term = '', about = '']) => tagged([term, about])), '.RE']),
  ]
}

function tagged([term, about]: readonly [string, string]): string[] {
  return ['.TP', `.B ${text(term)}`, text(sentence(about))]
}

function sentence(words: string): string {
  return words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? '' : '.')
}

/** Escapes what roff would take for its own. */
function text(words: string): string {
  return words
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/, '\\&$1')
}
