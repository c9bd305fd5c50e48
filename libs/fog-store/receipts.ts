import type { Receipts } from '#fog'
import type { Database } from '#sqlite'

/** `Receipts` over the meta table. */
export interface SqliteReceipts extends Receipts {
  /** Writes what changed, in the caller's transaction. */
  save(): void
  /** The caller's transaction failed: what `save` wrote is to be written again. */
  unsaved(): void
}

const nameOf = (node: string) => `receipted ${node}`

/** Like the deleting of acknowledged items this waits for a transaction that is needed anyway. */
export function openReceipts(db: Database): SqliteReceipts {
  const load = db.prepare<{ value: number }>('SELECT value FROM meta WHERE name = ?')
  const write = db.prepare(
    'INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
  )
  const known = new Map<string, number>()
  const changed = new Set<string>()
  return {
    through: (node) => known.get(node) ?? load.get(nameOf(node))?.value ?? 0,
    note(node, number) {
      if (known.get(node) === number) return
      known.set(node, number)
      changed.add(node)
    },
    save() {
      for (const node of changed) write.run(nameOf(node), known.get(node) ?? 0)
      changed.clear()
    },
    unsaved() {
      for (const node of known.keys()) changed.add(node)
    },
  }
}
