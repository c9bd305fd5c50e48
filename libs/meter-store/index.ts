/** The durable memory of meters: one SQLite file a process, one meter or a thousand in it. */
export { openMeterStore } from './store.ts'
export type { MeterStoreFile } from './store.ts'
