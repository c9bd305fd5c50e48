/** Counted since start, for /metrics. Keys of the inner records are types or stable codes. */
export interface CloudCounters {
  /** Messages from fogs, by type, or by why they were ignored. */
  messages: Record<string, number>
  /** Items that became durable, by type; `duplicate` for those that were there already. */
  items: Record<string, number>
  /** Refused items by code. */
  refused: Record<string, number>
  commits: number
  commitFailures: number
  resends: number
}

export function newCounters(): CloudCounters {
  return { messages: {}, items: {}, refused: {}, commits: 0, commitFailures: 0, resends: 0 }
}

export function bump(record: Record<string, number>, key: string, by = 1): void {
  record[key] = (record[key] ?? 0) + by
}
