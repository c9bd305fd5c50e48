import { codeOf, exitCodeOf } from '#errors'
import { printable } from '../printable.ts'
import { jsonLine } from './text.ts'

/** Data goes to stdout … */
export function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** … and everything else to stderr, so that a pipe carries data only. */
export function say(text: string): void {
  process.stderr.write(`${printable(text)}\n`)
}

export function printJson(value: unknown): void {
  print(jsonLine(value))
}

/** Runs one command; its failure becomes a sentence and an exit code, never a stack trace. */
export async function run(command: () => Promise<void>): Promise<void> {
  try {
    await command()
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    say(`fogmeter: ${message} (${codeOf(error)})`)
    process.exitCode = exitCodeOf(error)
  }
}
