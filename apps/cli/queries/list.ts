import { parsePeriod, type Page } from '#cloud-store'
import { notFound } from './failure.ts'
import { parseFog, parseLimit } from './options.ts'
import type { ListOptions } from './options.ts'
import { print, printJson, say } from './output.ts'
import { openSource } from './source.ts'
import type { Filters, QuerySource } from './source.ts'
import { renderTable } from './table.ts'
import type { Column } from './table.ts'
import { printable } from '../printable.ts'

const PAGE = 1_000

export interface Listing<Row> {
  fetch: (source: QuerySource, filters: Filters) => Promise<Page<Row>>
  columns: readonly Column<Row>[]
  /** Lines below the table. */
  notes?: (rows: readonly Row[]) => string[]
  /** What to do when there is nothing to show. */
  whenEmpty: string
  /** Further filters. */
  only?: Pick<Filters, 'meter' | 'kind'>
}

/** Fetches, pages included, and prints in the form asked for. */
export async function runList<Row>(listing: Listing<Row>, options: ListOptions): Promise<void> {
  const limit = parseLimit(options.limit)
  const filters = { ...filtersOf(options), ...listing.only }
  const source = await openSource(options)
  try {
    const page = await fetchAll(listing, source, filters, limit)
    if (page.items.length === 0 && filters.fog !== undefined) await requireFog(source, filters.fog)
    if (page.items.length === 0 && filters.meter !== undefined) {
      await requireMeter(source, filters.meter)
    }
    if (options.json) printJson(page)
    else if (options.jsonl) for (const item of page.items) printJson(item)
    else if (page.items.length > 0) printTable(listing, page.items)
    tellWhatIsMissing(page, listing.whenEmpty)
  } finally {
    source.close()
  }
}

function printTable<Row>({ columns, notes }: Listing<Row>, rows: readonly Row[]): void {
  print(renderTable(columns, rows))
  for (const note of notes?.(rows) ?? []) print(printable(note))
}

function filtersOf({ fog, since, until }: ListOptions): Filters {
  const name = parseFog(fog)
  // Whoever answers reads times by its own clock; nonsense is refused before anybody is asked.
  parsePeriod({ since, until }, Math.floor(Date.now() / 1000))
  return {
    ...(name === undefined ? {} : { fog: name }),
    ...(since === undefined ? {} : { since }),
    ...(until === undefined ? {} : { until }),
  }
}

async function fetchAll<Row>(
  { fetch }: Listing<Row>,
  source: QuerySource,
  filters: Filters,
  limit: number,
): Promise<Page<Row>> {
  const items: Row[] = []
  let next: string | null = null
  do {
    const wanted: Filters = { ...filters, limit: Math.min(PAGE, limit - items.length) }
    const page: Page<Row> = await fetch(
      source,
      next === null ? wanted : { ...wanted, cursor: next },
    )
    items.push(...page.items)
    next = page.next
  } while (next !== null && items.length < limit)
  return { items, next }
}

/** An empty answer about a fog nobody knows is a mistyped name. */
async function requireFog(source: QuerySource, fog: string): Promise<void> {
  const { items } = await source.fogs({ fog })
  if (items.length === 0)
    throw notFound(`no fog node "${fog}" has reported; "fogmeter fog list" shows those that have`)
}

async function requireMeter(source: QuerySource, meter: string): Promise<void> {
  const { items } = await source.meters({ meter })
  if (items.length === 0)
    throw notFound(`no meter "${meter}" is known; "fogmeter meter list" shows those that are`)
}

function tellWhatIsMissing(page: Page<unknown>, whenEmpty: string): void {
  if (page.items.length === 0) say(whenEmpty)
  else if (page.next !== null) say(`${page.items.length} rows shown, there are more: raise --limit`)
}
