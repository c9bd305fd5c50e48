import { parseArgs, type ParseArgsConfig } from 'node:util'

/** What every subcommand of `npm run chaos` takes. */
const common = {
  seed: { type: 'string' },
  json: { type: 'boolean' },
  markdown: { type: 'boolean' },
  help: { type: 'boolean' },
} as const

export interface ChaosOptions {
  seed: number
  /** One line of JSON on stdout instead of Markdown. */
  json: boolean
  /** The subcommand's own options that were given, as whole numbers. */
  numbers: Record<string, number>
}

/**
 * Reads a subcommand's command line: the common options, and `own` with its defaults, all of them
 * whole numbers. Null after `--help` or a mistake, both of which have been printed; `code` is then
 * the exit code.
 */
export function chaosOptions(
  args: string[],
  usage: string,
  own: Record<string, number>,
): { options: ChaosOptions; code: 0 } | { options: null; code: 0 | 2 } {
  const numbers: NonNullable<ParseArgsConfig['options']> = {}
  for (const name of Object.keys(own)) numbers[name] = { type: 'string' }
  try {
    const parsed = parseArgs({ args, options: { ...common, ...numbers } })
    const values: Record<string, unknown> = parsed.values
    if (values['help'] === true) {
      process.stdout.write(usage)
      return { options: null, code: 0 }
    }
    const read = (name: string, otherwise: number) => wholeNumber(name, values[name], otherwise)
    const seed = read('seed', Math.floor(Math.random() * 2 ** 31))
    const found = Object.entries(own).map(([name, otherwise]) => [name, read(name, otherwise)])
    process.stderr.write(`seed ${seed}\n`)
    return {
      options: {
        seed,
        json: values['json'] === true,
        numbers: Object.fromEntries(found) as Record<string, number>,
      },
      code: 0,
    }
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}`)
    return { options: null, code: 2 }
  }
}

function wholeNumber(name: string, text: unknown, otherwise: number): number {
  if (text === undefined) return otherwise
  if (typeof text === 'string' && /^\d{1,15}$/.test(text)) return Number(text)
  throw new Error(`--${name}: a whole number is needed`)
}

/** One line on stderr: progress is no data. */
export function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** The smallest of `values` that at least this share of them does not exceed; null of nothing. */
export function percentile(values: readonly number[], share: number): number | null {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? null
}

type Cell = string | number | null

/** A table in Markdown; the first column is text, the others are numbers. */
export function markdownTable(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const rule = head.map((_, index) => (index === 0 ? '---' : '---:'))
  return [head, rule, ...rows].map(markdownLine).join('')
}

function markdownLine(cells: readonly Cell[]): string {
  return `| ${cells.map((cell) => cell ?? '–').join(' | ')} |\n`
}
