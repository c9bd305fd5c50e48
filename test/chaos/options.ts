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
  /** The subcommand's own options that were given, as whole numbers from 1. */
  numbers: Record<string, number>
  /** Its own switches that were given. */
  switches: ReadonlySet<string>
}

/**
 * Reads a subcommand's command line: the common options, and `own` with its defaults, all of them
 * whole numbers from 1, and its switches. Null after `--help` or a mistake, both of which have been printed; `code` is then
 * the exit code.
 */
export function chaosOptions(
  args: string[],
  usage: string,
  own: Record<string, number>,
  switches: readonly string[] = [],
): { options: ChaosOptions; code: 0 } | { options: null; code: 0 | 2 } {
  const special: NonNullable<ParseArgsConfig['options']> = {}
  for (const name of Object.keys(own)) special[name] = { type: 'string' }
  for (const name of switches) special[name] = { type: 'boolean' }
  try {
    const parsed = parseArgs({ args, options: { ...common, ...special } })
    const values: Record<string, unknown> = parsed.values
    if (values['help'] === true) {
      process.stdout.write(usage)
      return { options: null, code: 0 }
    }
    const random = Math.floor(Math.random() * 2 ** 31)
    const seed = wholeNumber('seed', values['seed'], { least: 0, otherwise: random })
    // A campaign of nothing would find nothing wrong.
    const found = Object.entries(own).map(([name, otherwise]) => {
      return [name, wholeNumber(name, values[name], { least: 1, otherwise })]
    })
    process.stderr.write(`seed ${seed}\n`)
    return {
      options: {
        seed,
        json: values['json'] === true,
        numbers: Object.fromEntries(found) as Record<string, number>,
        switches: new Set(switches.filter((name) => values[name] === true)),
      },
      code: 0,
    }
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n${usage}`)
    return { options: null, code: 2 }
  }
}

function wholeNumber(
  name: string,
  text: unknown,
  { least, otherwise }: { least: number; otherwise: number },
): number {
  if (text === undefined) return otherwise
  if (typeof text === 'string' && /^\d{1,15}$/.test(text) && Number(text) >= least)
    return Number(text)
  throw new Error(`--${name}: a whole number from ${least} is needed`)
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
