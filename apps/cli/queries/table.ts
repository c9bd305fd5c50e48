import Table from 'cli-table3'
import { printable } from '../printable.ts'
import { coloursFor } from '../colours.ts'

const colours = coloursFor(process.stdout)

export interface Column<Row> {
  title: string
  text: (row: Row) => string
  align?: 'left' | 'right'
  /** May be cut when the table would be too wide. */
  flexible?: true
  /** Draws the eye to a cell that needs it. */
  warn?: (row: Row) => boolean
}

const MAX_WIDTH = 100
const GAP = 2
const MIN_FLEXIBLE = 8

const noBorders = Object.fromEntries(
  ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
    .concat(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid', 'middle'])
    .map((part) => [part, '']),
)

/** Widths of the columns: natural, with the flexible ones cut until everything fits. */
export function columnWidths<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): number[] {
  const widths = columns.map((column) =>
    Math.max(column.title.length, ...rows.map((row) => printable(column.text(row)).length)),
  )
  const total = (): number => widths.reduce((sum, width) => sum + width + GAP, -GAP)
  for (const [index, column] of columns.entries()) {
    const excess = total() - MAX_WIDTH
    const width = widths[index] ?? 0
    if (column.flexible && excess > 0) widths[index] = Math.max(MIN_FLEXIBLE, width - excess)
  }
  return widths
}

/** A table for people: no borders, at most 100 columns, every cell safe to print. */
export function renderTable<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  options: { widths?: number[]; heading?: boolean; body?: boolean } = {},
): string {
  const widths = options.widths ?? columnWidths(columns, rows)
  const table = new Table({
    head: (options.heading ?? true) ? columns.map((column) => colours.bold(column.title)) : [],
    chars: noBorders,
    style: { 'padding-left': 0, 'padding-right': GAP, head: [], border: [], compact: true },
    colAligns: columns.map((column) => column.align ?? 'left'),
    colWidths: widths.map((width) => width + GAP),
  })
  for (const row of rows) table.push(columns.map((column) => cell(column, row)))
  return table
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n')
}

function cell<Row>(column: Column<Row>, row: Row): string {
  const text = printable(column.text(row))
  return column.warn?.(row) ? colours.yellow(text) : text
}
