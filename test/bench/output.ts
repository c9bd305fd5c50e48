/** Results for people, machines and the README. */
import { isMet, type Figure, type Goal, type Machine, type Report } from './figures.ts'

const columns = ['what', 'median', 'unit', 'ratio', 'goal', 'met?'] as const

/** The report as a plain table. */
export function toTable({ machine, figures }: Report): string {
  const lines = [describeMachine(machine), '']
  const rows = figures.map(cells)
  const widths = columns.map((name, i) =>
    Math.max(name.length, ...rows.map((row) => row[i]?.length ?? 0)),
  )
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => (i === 1 ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd()
  lines.push(line(columns), widths.map((width) => '─'.repeat(width)).join('  '))
  figures.forEach((figure, index) => {
    if (index > 0 && figures[index - 1]?.section !== figure.section) lines.push('')
    lines.push(line(rows[index] ?? []))
  })
  return `${lines.join('\n')}\n`
}

/** One line; `met` is null where there is no goal. */
export function toJson({ machine, figures }: Report): string {
  return JSON.stringify({
    machine,
    figures: figures.map((figure) => ({ ...figure, met: isMet(figure) })),
  })
}

/** The same for the README. */
export function toMarkdown({ machine, figures }: Report): string {
  return [
    `Measured by \`npm run bench\` on ${describeMachine(machine)}. CPU is that of all threads of the`,
    'process named; medians of interleaved rounds; ratios against peers measured in the same run.',
    '',
    row(columns),
    row(['---', '---:', '---', '---', '---', '---']),
    ...figures.map((figure) => row(cells(figure))),
  ].join('\n')
}

const row = (parts: readonly string[]): string => `| ${parts.join(' | ')} |`

const markers = ['<!-- figures:begin -->', '<!-- figures:end -->'] as const

/** `readme` with the report between the markers, or null when it has none. */
export function intoReadme(readme: string, report: Report): string | null {
  const [begin, end] = markers.map((marker) => readme.indexOf(marker)) as [number, number]
  if (begin < 0 || end < begin) return null
  const head = readme.slice(0, begin + markers[0].length)
  return `${head}\n\n${toMarkdown(report)}\n\n${readme.slice(end)}`
}

function describeMachine({ cpu, cores, memoryGiB, node, date }: Machine): string {
  return `${cpu}, ${cores} cores, ${memoryGiB} GiB, Node ${node}, ${date}`
}

function cells(figure: Figure): string[] {
  const { what, median, unit, ratio, goal } = figure
  const met = isMet(figure)
  return [
    what,
    shortNumber(median),
    unit,
    ratio === undefined ? '' : `${shortNumber(ratio.value)} × ${ratio.of}`,
    goal === undefined ? '' : goalText(goal, unit),
    met === null ? '' : met ? 'yes' : 'NO',
  ]
}

export function goalText({ on, relation, limit }: Goal, unit: string): string {
  return on === 'median' ? `${relation} ${limit} ${unit}` : `${relation} ${limit} ×`
}

/** Three digits, and whole numbers from 100 on. */
export function shortNumber(value: number): string {
  if (!Number.isFinite(value)) return '–'
  if (Number.isInteger(value) || Math.abs(value) >= 100)
    return Math.round(value).toLocaleString('en')
  return String(Number(value.toPrecision(3)))
}
