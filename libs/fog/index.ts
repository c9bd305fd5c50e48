/**
 * The fog node's core: signed blocks become durable, then receipted, then counted, then summarised.
 * Portable and without input or output of its own. See README.md.
 */
export { createFog, type Fog } from './fog.ts'
export type { FogSettings } from './core.ts'
export { fogDefaults } from './settings.ts'
export type {
  Backlog,
  BlockGroup,
  BlockRow,
  Checkpoint,
  Commit,
  DamagedItem,
  FogStore,
  Loaded,
  MeterRow,
  Receipts,
} from './store.ts'
export { inlineVerifier, type Verifier } from './verifier.ts'
export { createUplink, type Uplink } from './uplink.ts'
