/**
 * The cloud's drain: takes the numbered outbox items of many fog nodes, checks them, stores them in
 * one transaction with the inbox number, and answers with receipts only afterwards.
 */
export { createCloud } from './cloud.ts'
export type { Cloud, CloudOutput } from './cloud.ts'
export { createMemoryStore } from './memory-store.ts'
export { registerFlagNames, registerFlags } from './register.ts'
export type {
  CloudStore,
  CloudTx,
  CredentialEntry,
  FogRecord,
  GapEntry,
  RegisterEntry,
  RegisterFacts,
  Run,
  SummaryEntry,
} from './store.ts'
