import type { CloudTx, Run } from '#cloud'
import { fogKey } from './fog-tables.ts'
import type { Statements } from './statements.ts'

interface RunRow {
  device: string
  fog_name: string
  store: number
  first: number
  last: number
  doubled: number
  withdrawn: number
  asked_s: number
}

/** Which reading numbers each fog counts. */
export function runTables(db: Statements): Pick<CloudTx, 'runs' | 'saveRun' | 'doubledRuns'> {
  const select = 'SELECT r.*, f.name AS fog_name FROM run r JOIN fog f ON f.id = r.fog'
  return {
    runs: (device) =>
      db.all<RunRow>(`${select} WHERE r.device = ? ORDER BY r.id`, [device]).map(runFrom),
    saveRun({ deviceId, fog, offset, first, last, doubled, withdrawn, askedS }) {
      db.run(
        `INSERT INTO run (device, fog, store, first, last, doubled, withdrawn, asked_s)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)
         ON CONFLICT (device, fog, store, first) DO UPDATE SET last = excluded.last,
           doubled = excluded.doubled, withdrawn = excluded.withdrawn, asked_s = excluded.asked_s`,
        [deviceId, fogKey(db, fog), offset, first, last, doubled, withdrawn, askedS],
      )
    },
    doubledRuns: (fog, offset, limit) =>
      db
        .all<RunRow>(
          `${select} WHERE f.name = ? AND r.store = ? AND r.doubled > r.withdrawn
           ORDER BY r.id LIMIT ?`,
          [fog, offset, limit],
        )
        .map(runFrom),
  }
}

function runFrom(row: RunRow): Run {
  return {
    deviceId: row.device,
    fog: row.fog_name,
    offset: row.store,
    first: row.first,
    last: row.last,
    doubled: row.doubled,
    withdrawn: row.withdrawn,
    askedS: row.asked_s,
  }
}
