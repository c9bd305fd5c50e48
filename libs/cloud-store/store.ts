import type { CloudStore } from '#cloud'
import type { Database } from '#sqlite'
import { fogTables } from './fog-tables.ts'
import { credentialTables, registerTables } from './register-tables.ts'
import { runTables } from './run-tables.ts'
import { createStatements } from './statements.ts'
import { forkTables, summaryTables } from './summary-tables.ts'

/** The drain's store on SQLite; see `CloudStore` for what the methods mean. */
export function createStore(database: Database): CloudStore {
  const db = createStatements(database)
  const tx = {
    ...fogTables(db),
    ...summaryTables(db),
    ...forkTables(db),
    ...credentialTables(db),
    ...registerTables(db),
    ...runTables(db),
  }
  const id = database.prepare<{ id: Uint8Array }>('SELECT id FROM identity').get()?.id ?? null
  return { id, transact: (work) => database.transaction(() => work(tx)) }
}
