import type { Command, Option } from 'commander'

interface Candidate {
  value: string
  about: string
}

/**
 * What may stand where the cursor is: `words` are those after `fogmeter`, the last one unfinished
 * and perhaps empty. Nothing where a file or free text belongs.
 */
export function complete(program: Command, words: readonly string[]): Candidate[] {
  const current = words.at(-1) ?? ''
  const { command, place, option } = contextOf(program, words.slice(0, -1))
  return candidates(command, place, option, current).filter(({ value }) =>
    value.startsWith(current),
  )
}

/** The command, how many arguments it has already, and the option that waits for its value. */
function contextOf(program: Command, words: readonly string[]) {
  let [command, place] = [program, 0]
  let option: Option | null = null
  for (const word of words) {
    if (option !== null) option = null
    else if (word.startsWith('-')) option = waiting(command, word)
    else {
      const next = command.commands.find((child) => child.name() === word)
      place = next === undefined ? place + 1 : 0
      command = next ?? command
    }
  }
  return { command, place, option }
}

function waiting(command: Command, word: string): Option | null {
  const option = command.options.find(({ long, short }) => word === long || word === short)
  return option?.required || option?.optional ? option : null
}

function candidates(
  command: Command,
  place: number,
  option: Option | null,
  current: string,
): Candidate[] {
  if (option !== null) return choices(option.argChoices)
  const help = command.createHelp()
  if (current.startsWith('-')) {
    const options = help.visibleOptions(command)
    return options.map(({ long, short, description }) => ({
      value: long ?? short ?? '',
      about: description,
    }))
  }
  const children = place > 0 ? [] : help.visibleCommands(command)
  return [
    ...children.map((child) => ({ value: child.name(), about: child.description() })),
    ...choices(command.registeredArguments[place]?.argChoices),
  ]
}

function choices(values: readonly string[] = []): Candidate[] {
  return values.map((value) => ({ value, about: '' }))
}
