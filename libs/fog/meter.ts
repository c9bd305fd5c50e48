import type { Credential } from '#credential'
import type { Crypto } from '#crypto'
import type { Gap } from '#messages'
import { firstChain, type Block, type Reading, type Statement } from '#reading'
import { newEnergyTrack, type EnergyTrack } from '#window'
import type { BootTime, Dating, Waiting } from './dating.ts'

/** A position in a meter's history: just after one of its readings. */
export interface Position {
  /** Number of that reading; 0 before the first one. */
  number: number
  /** Chain value there; null when this node never saw it. */
  chain: Uint8Array | null
  /** Registers there; null before the first reading. */
  importWh: number | null
  exportWh: number | null
}

/** A block between arrival and commit. */
export interface PendingBlock {
  meter: Meter
  block: Block
  /** As received in a report; null when it was put together from live readings. */
  body: Uint8Array | null
  credential: Credential
  state: 'verifying' | 'ready' | 'dropped'
  /** It is in the queue for the next commit. */
  queued: boolean
}

/** What is remembered of a committed block, to tell a repetition from a second history. */
export interface RecentBlock {
  first: number
  last: number
  chain: Uint8Array
}

/**
 * Reading numbers of a meter that this node counts, without a hole from `first` to wherever it is
 * now. A meter that was elsewhere in between begins a new run.
 */
export interface Run {
  first: number
  /** A block followed that is not counted: the next one that is begins another run. */
  ended: boolean
  /** Its first block continued what was durable before. */
  continuous: boolean
  /** Group of the log that holds its first block. */
  groupId: number
  /** What had been counted before it: with the log, this gives each reading's energy once more. */
  energy: EnergyTrack
  /** Newest reading time before it; windows that start earlier hold other readings of the meter. */
  beforeS: number
  /** Numbers up to here are not counted any more; `first - 1` while all are. */
  withdrawn: number
  taken: { readings: number; importWh: number; exportWh: number }
}

/** A signed statement that may still have to be forwarded when its window closes. */
export interface PendingRegister {
  last: number
  /** Time of the earliest reading of this block and of those of its window that it stands for. */
  startTimeS: number
  endTimeS: number
  statement: Statement
  signature: Uint8Array
  /** Where the run began that it belongs to; null when it is not counted, or the run is not known. */
  from: number | null
  /** Monotonic ms since when it waits. */
  notedMs: number
}

/** How a meter's readings followed each other of late; changed in place, once per reading. */
export interface Rhythm {
  /** Newest counted reading with a time; number 0 before the first. */
  lastS: number
  lastNumber: number
  /** That time was estimated. */
  guessed: boolean
  /** Seconds between the last readings, 0 while unknown. */
  stepS: number
  stepBeforeS: number
}

/** Everything in memory about one meter. */
export interface Meter {
  /** Row id in the store; null until its first block is committed. */
  id: number | null
  readonly deviceId: string
  /** Of the open session, or of the last one. */
  credential: Credential
  /** The credential in the store's row; null before there is a row. */
  storedCredential: Uint8Array | null
  /** That credential has been put into the outbox. */
  credentialSent: boolean

  /** Open session. */
  channelId: string | null
  /** After the last committed block. */
  durable: Position
  /** After the last pending block; equal to `durable` when there is none. */
  tip: Position
  /** In order; consecutive by construction. */
  pending: PendingBlock[]
  /** Signatures being checked of blocks that contradict something and are refused either way. */
  checks: number
  /** Live readings of this session after `tip`, ascending. */
  live: Reading[]
  /** What the next live delta refers to; null while that is not known. */
  liveBase: Reading | null
  /** It has been asked to start its live readings over. */
  liveAsked: boolean
  /** Number of the newest revocation list this session was told; -1 for none. */
  toldList: number
  /** Numbers up to here will not come any more: given up by the meter, or refused by us. */
  givenUpThrough: number
  /** How often a report was unreadable when this number was the next to come. */
  unreadable: { next: number; times: number }
  /** Monotonic ms of the last receipt. */
  receiptedMs: number

  recent: RecentBlock[]
  /** Up to where its registers have been turned into energy. */
  energy: EnergyTrack
  /** Durable blocks not counted yet, because nobody knows when their readings were made. */
  waiting: Waiting[]
  /** What dates the readings of its present boot, once known. */
  bootTime: BootTime | null
  /** How readings without a time were counted, should they have to be taken out again. */
  datings: Dating[]
  rhythm: Rhythm
  /** Ranges of readings that may still grow, one of a kind. */
  openGaps: Gap[]
  registers: PendingRegister[]
  /** The newest ones, the present one last. */
  runs: Run[]
  /** Newest time of a durable reading. */
  countedS: number
  /** Number of the newest reading whose statement went into the outbox, and that statement. */
  forwarded: number
  stated: PendingRegister | null
  /** Newest reading seen, live or not, for the live view. */
  latest: Reading | null
  /** Differs from its last snapshot. */
  dirty: boolean
}

export function newMeter(crypto: Crypto, credential: Credential): Meter {
  const start: Position = {
    number: 0,
    chain: firstChain(crypto, credential.deviceId),
    importWh: null,
    exportWh: null,
  }
  return {
    id: null,
    deviceId: credential.deviceId,
    credential,
    storedCredential: null,
    credentialSent: false,
    channelId: null,
    durable: start,
    tip: start,
    pending: [],
    checks: 0,
    live: [],
    liveBase: null,
    liveAsked: false,
    toldList: -1,
    givenUpThrough: 0,
    unreadable: { next: 0, times: 0 },
    receiptedMs: -Infinity,
    recent: [],
    energy: newEnergyTrack(),
    waiting: [],
    bootTime: null,
    datings: [],
    rhythm: { lastS: 0, lastNumber: 0, guessed: false, stepS: 0, stepBeforeS: 0 },
    openGaps: [],
    registers: [],
    runs: [],
    countedS: 0,
    forwarded: 0,
    stated: null,
    latest: null,
    dirty: false,
  }
}

/** The position a block leads to. */
export function positionAfter(statement: Statement): Position {
  return {
    number: statement.last,
    chain: statement.chain,
    importWh: statement.endImportWh,
    exportWh: statement.endExportWh,
  }
}

/** Forgets what only the last session meant: live readings not under a signature yet. */
export function resetLive(meter: Meter): void {
  meter.live = []
  meter.liveBase = null
}
