import type { Credential } from '#credential'
import type { FogEvent, FogStatus, Gap, Summary } from '#messages'
import type { Statement } from '#reading'

/**
 * What the drain needs from a database. One `transact` is one durable transaction: when it returns,
 * everything written in it survives a power cut; when `work` throws, nothing was changed.
 */
export interface CloudStore {
  transact<T>(work: (tx: CloudTx) => T): T
}

/** Exact sums over the latest revision of every window of one fog. */
export interface Totals {
  /** Windows, that is summaries that count. */
  summaries: number
  readings: number
  powerSumW: number
  voltageSumDv: number
  voltageCount: number
  importWh: number
  exportWh: number
}

/** The cloud's state about one fog. */
export interface FogRecord {
  /** Every outbox number up to this one is stored, refused or known to be given up. */
  durable: number
  /** The fog's own next number, as it last said; `next - 1 - durable` is its known backlog. */
  next: number
  totals: Totals
}

export interface SummaryEntry {
  fog: string
  /** Outbox number it came under. */
  number: number
  summary: Summary
  receivedS: number
  /** It is now the highest revision of its window; the store clears the mark on the one before. */
  latest: boolean
}

export interface CredentialEntry {
  fog: string
  credential: Credential
  receivedS: number
}

/** The part of a stored register that decides whether another one goes back behind it. */
export interface RegisterFacts {
  last: number
  endTimeS: number
  endImportWh: number
  endExportWh: number
  /** Status word of the statement, which says how far its times can be trusted. */
  status: number
  flags: number
  /** SHA-256 of the statement. */
  digest: Uint8Array
}

export interface RegisterEntry {
  fog: string
  number: number
  statement: Statement
  /** The one whose key verified the envelope. */
  credential: Credential
  /** COSE_Sign1 with payload: anyone holding the meter's credential can verify it. */
  envelope: Uint8Array
  digest: Uint8Array
  flags: number
  receivedS: number
  /** No register with this or a higher reading number is stored for the meter. */
  newest: boolean
}

export interface EventEntry extends FogEvent {
  fog: string
  /** `cloud` when the cloud itself noticed, otherwise the fog sent it. */
  source: 'fog' | 'cloud'
  receivedS: number
}

export interface GapEntry extends Gap {
  fog: string
  receivedS: number
}

export interface RefusedEntry {
  fog: string
  number: number
  /** Item type, or `unreadable`. */
  kind: string
  code: string
  receivedS: number
}

/** Reads see what the same transaction wrote before. */
export interface CloudTx {
  fog(deviceId: string): FogRecord | null
  saveFog(deviceId: string, record: FogRecord, seenS: number): void
  saveStatus(deviceId: string, status: FogStatus): void

  summary(fog: string, startS: number, revision: number): Summary | null
  latestSummary(fog: string, startS: number): Summary | null
  addSummary(entry: SummaryEntry): void

  /** Encoded credentials of a meter, newest first, at most `limit`. */
  credentials(deviceId: string, limit: number): Uint8Array[]
  /** Adding one that is there already changes nothing. */
  addCredential(entry: CredentialEntry): void

  registersAt(deviceId: string, last: number): RegisterFacts[]
  registerBefore(deviceId: string, last: number): RegisterFacts | null
  registerAfter(deviceId: string, last: number): RegisterFacts | null
  addRegister(entry: RegisterEntry): void
  flagRegister(deviceId: string, facts: RegisterFacts, flags: number): void

  addEvent(entry: EventEntry): void
  /** Adds the range, or lets the one of the same fog, device, kind and first number grow. */
  saveGap(entry: GapEntry): void
  addRefused(entry: RefusedEntry): void
}

/** A fog never heard of. */
export function newFog(): FogRecord {
  return {
    durable: 0,
    next: 1,
    totals: {
      summaries: 0,
      readings: 0,
      powerSumW: 0,
      voltageSumDv: 0,
      voltageCount: 0,
      importWh: 0,
      exportWh: 0,
    },
  }
}
