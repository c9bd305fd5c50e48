import type { Command } from 'commander'
import { addFogCommands } from './fog.ts'
import { addMeterCommands } from './meter.ts'
import { addStatusCommand } from './status.ts'
import { addSummaryCommands } from './summary.ts'

/**
 * Adds `summary list|watch`, `fog list`, `meter list|gaps` and `status`. Exit codes: 0 answered (also
 * with nothing to show), 1 no answer, 2 wrong use, 3 no such fog node or store.
 */
export function registerQueries(program: Command): void {
  addSummaryCommands(noun(program, 'summary', 'aggregated windows'))
  addFogCommands(noun(program, 'fog', 'fog nodes'))
  addMeterCommands(noun(program, 'meter', 'meters'))
  addStatusCommand(noun(program, 'status', 'everything in one glance'))
}

/** A noun that another part of the command line brought along is shared. */
function noun(program: Command, name: string, description: string): Command {
  const present = program.commands.find((command) => command.name() === name)
  return present ?? program.command(name).description(description).helpCommand(false)
}
