/** The durable memory of a meter on a small chip: a log in raw NOR flash. Portable; see README.md. */
export type { Flash } from './flash.ts'
export { openFlashStore } from './store.ts'
export type { FlashStore } from './store.ts'
