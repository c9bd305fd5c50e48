import type { Credential } from '#credential'
import type { FogEvent, FogStatus, Gap, Summary } from '#messages'
import type { Statement } from '#reading'

/**
 * What the drain needs from a database. One `transact` is one durable transaction: when it returns,
 * everything written in it survives a power cut; when `work` throws, nothing was changed.
 */
export interface CloudStore {
  /** Eight bytes. Tells this database from every other, and is copied with it; null for one that nobody copies. */
  readonly id: Uint8Array | null
  transact<T>(work: (tx: CloudTx) => T): T
}

/**
 * Exact sums over the latest revision of every window of one fog. They grow for as long as the fog
 * lives: one meter that reports nonsense reaches 2^53 within months, so nothing smaller than bigint
 * will do.
 */
export interface Totals {
  /** Windows, that is summaries that count. */
  summaries: number
  readings: bigint
  powerSumW: bigint
  voltageSumDv: bigint
  voltageCount: bigint
  importWh: bigint
  exportWh: bigint
}

/** The cloud's state about one fog. */
export interface FogRecord {
  /** Every outbox number up to this one is stored, refused or known to be given up. */
  durable: number
  /** The fog's own next number, as it last said; `next - 1 - durable` is its known backlog. */
  next: number
  /** Id of the fog's store, as it last said; null while it never did. */
  store: number | null
  /**
   * What came under numbers up to here came from stores that are gone. The present one counts from
   * 1; all numbers here are its own plus this.
   */
  offset: number
  /** `itemMark` of what came under number `durable`; empty where nothing did. */
  newest: Uint8Array
  totals: Totals
}

/** Reading numbers of one meter that one store of one fog counts, without a hole (see runs.ts). */
export interface Run {
  deviceId: string
  fog: string
  /** `offset` of the fog's record when it came: which of its stores this is about. */
  offset: number
  first: number
  last: number
  /** Another run that counts too holds the numbers up to here; `first - 1` when none does. */
  doubled: number
  /** The fog has let go of the numbers up to here; `first - 1` while it counts all. */
  withdrawn: number
  /** When it was last asked to, wall clock s. */
  askedS: number
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
  /** The highest revision among those that came under outbox numbers up to `number`. */
  summaryThrough(fog: string, startS: number, number: number): Summary | null
  addSummary(entry: SummaryEntry): void
  /** Windows of which this fog, as it is now, has another history than what is stored (see README.md). */
  isForked(fog: string, startS: number): boolean
  saveFork(fog: string, startS: number): void
  forgetForks(fog: string): void

  /** Encoded credentials of a meter, newest first, at most `limit`. */
  credentials(deviceId: string, limit: number): Uint8Array[]
  /** Adding one that is there already changes nothing. */
  addCredential(entry: CredentialEntry): void

  registersAt(deviceId: string, last: number): RegisterFacts[]
  registerBefore(deviceId: string, last: number): RegisterFacts | null
  registerAfter(deviceId: string, last: number): RegisterFacts | null
  addRegister(entry: RegisterEntry): void
  flagRegister(deviceId: string, facts: RegisterFacts, flags: number): void

  /** All runs of a meter in the order in which they were first saved. */
  runs(deviceId: string): Run[]
  /** Adds it, or replaces the one with the same meter, fog, offset and first number. */
  saveRun(run: Run): void
  /** Runs of a fog's present store with more doubled than withdrawn, at most `limit`. */
  doubledRuns(fog: string, offset: number, limit: number): Run[]

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
    store: null,
    offset: 0,
    newest: new Uint8Array(),
    totals: {
      summaries: 0,
      readings: 0n,
      powerSumW: 0n,
      voltageSumDv: 0n,
      voltageCount: 0n,
      importWh: 0n,
      exportWh: 0n,
    },
  }
}
