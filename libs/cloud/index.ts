/**
 * The cloud's drain: takes the numbered outbox items of many fog nodes, checks them, stores them in
 * one transaction with the inbox number, and answers with receipts only afterwards.
 */
export { createCloud } from './cloud.ts'
export type { Cloud, CloudOptions, CloudOutput } from './cloud.ts'
export type { CloudCounters } from './counters.ts'
export { createMemoryStore } from './memory-store.ts'
export { registerFlagNames, registerFlags, suspiciousFlags } from './register.ts'
export { newFog } from './store.ts'
export type {
  CloudStore,
  CloudTx,
  CredentialEntry,
  EventEntry,
  FogRecord,
  RefusedEntry,
  RegisterEntry,
  RegisterFacts,
  SummaryEntry,
  Totals,
} from './store.ts'
