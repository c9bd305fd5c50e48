/** The fog node's SQLite file: a log of signed blocks in time order, and little else. See README.md. */
export { openFogStore, type SqliteFogStore } from './store.ts'
export { readJournal, type JournalEntry } from './journal.ts'
