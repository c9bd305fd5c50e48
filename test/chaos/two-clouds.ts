import { openCloudQueries, type Accounting, type SummaryView } from '#cloud-store'

/**
 * What two clouds that share nothing hold together: each window of each fog node once, at its
 * highest revision, since revisions carry full totals; of each meter the newest register.
 */
export function accountingOf(stores: readonly string[]): Accounting {
  const parts = stores.map(read)
  const windows = new Map<string, SummaryView>()
  for (const view of parts.flatMap(({ summaries }) => summaries)) {
    const key = `${view.fog} ${view.startS}`
    const known = windows.get(key)
    if (known === undefined || view.revision > known.revision) windows.set(key, view)
  }
  const fogs = new Map<string, Accounting['fogs'][number]>()
  for (const { fog, readings, importWh, exportWh } of windows.values()) {
    const row = fogs.get(fog) ?? { fog, durable: 0, ...nothing }
    fogs.set(fog, {
      ...row,
      summaries: row.summaries + 1,
      readings: row.readings + readings,
      importWh: row.importWh + importWh,
      exportWh: row.exportWh + exportWh,
    })
  }
  const meters = new Map<string, Accounting['meters'][number]>()
  for (const row of parts.flatMap(({ accounting }) => accounting.meters)) {
    if (row.number > (meters.get(row.meter)?.number ?? 0)) meters.set(row.meter, row)
  }
  return {
    fogs: [...fogs.values()],
    meters: [...meters.values()],
    refused: parts.flatMap(({ accounting }) => accounting.refused),
    withdrawn: parts.flatMap(({ accounting }) => accounting.withdrawn),
    doubled: Math.max(...parts.map(({ accounting }) => accounting.doubled)),
  }
}

const nothing = { summaries: 0, readings: 0, importWh: 0, exportWh: 0 }

function read(path: string): { accounting: Accounting; summaries: SummaryView[] } {
  const { queries, close } = openCloudQueries(path)
  try {
    const summaries: SummaryView[] = []
    for (let cursor: string | undefined, more = true; more;) {
      const page = queries.listSummaries({ limit: 1_000, cursor })
      summaries.push(...page.items)
      more = page.next !== null
      cursor = page.next ?? undefined
    }
    return { accounting: queries.accounting(), summaries }
  } finally {
    close()
  }
}
