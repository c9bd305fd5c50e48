import type { RevocationList } from '#credential'
import type { Crypto } from '#crypto'
import { encodeDown, type Down, type Gap, type MachineStatus } from '#messages'
import type { Clock } from '#ports'
import type { Windows, WindowSettings } from '#window'
import type { DamagedReport } from './damaged.ts'
import { createEvents, type EventCollector } from './events.ts'
import type { Meter, PendingBlock } from './meter.ts'
import type { FogStore } from './store.ts'
import type { Verifier } from './verifier.ts'

/** How the core reaches the meters: by channel id, over whatever carries channels. */
export interface MeterLink {
  /** Seals and sends one message; what cannot be sent is lost and made good later. */
  send(channelId: string, payload: Uint8Array): void
  /** Ends a session. */
  drop(channelId: string, code: string): void
}

/** Timings and bounds; see `fogDefaults` for what each is set to and why. */
export interface FogSettings {
  commit: {
    /** A group is committed once it holds this many bytes … */
    bytes: number
    /** … or this many blocks … */
    maxBlocks: number
    /** … or its oldest block has waited this long. */
    maxWaitMs: number
  }
  /** A meter gets at most one receipt in this time. */
  receiptMs: number
  /** Blocks between arrival and commit; above it the link is held back. */
  maxInFlight: number
  maxInFlightPerMeter: number
  /** The longest time the link is held back: a broker drops subscribers that stand still. */
  holdMs: number
  /** A checkpoint at least this often, so that a restart has little to replay. */
  checkpointMs: number
  /** A fogStatus item this often, and soon (a tenth) after refusals that last; 0 = never. */
  statusMs: number
  window: WindowSettings
  time: {
    /** Readings without a time wait at most this long for it; then it is estimated. */
    maxWaitMs: number
    /** Readings that may wait at once, over all meters. */
    maxWaiting: number
    /** A pause of more than this many usual intervals is listed as a silence. */
    silenceIntervals: number
  }
}

export interface FogCounters {
  /** Messages from meters, live readings among them. */
  messages: number
  live: number
  /** Durable since start. */
  readings: number
  blocks: number
  /** Readings a meter had no room for, under a good signature. */
  readingsGivenUp: number
  /** Signatures found good and found bad. */
  verified: number
  /** Blocks that were durable or on their way already. */
  repeats: number
  /** Everything not accepted, by reason. */
  refused: Record<string, number>
  commits: number
  commitFailures: number
  /** Duration of the last commit, and the sum of all, in ms. */
  lastCommitMs: number
  commitMs: number
  checkpoints: number
  summaries: number
  revisions: number
  registers: number
  events: number
  /** Outbox items found damaged on disk, by what became of what they said. */
  damagedItems: { madeAgain: number; lost: number }
  /** Revocation lists passed on, one per session and version. */
  listsSent: number
}

/** The state of one fog node, shared by the parts of this library. */
export interface Core {
  readonly crypto: Crypto
  readonly clock: Clock
  readonly store: FogStore
  readonly verifier: Verifier
  readonly link: MeterLink
  readonly settings: FogSettings
  readonly version: string
  readonly machine?: () => MachineStatus
  readonly onUnexpected?: (error: unknown, deviceId: string) => void
  readonly onDamagedItem?: (damaged: DamagedReport) => void
  readonly counters: FogCounters
  readonly windows: Windows
  readonly meters: Map<string, Meter>
  /** Sessions: channel id to meter. */
  readonly channels: Map<string, Meter>
  /** Verified blocks waiting for the next commit, in order per meter. */
  ready: PendingBlock[]
  readyBytes: number
  /** Monotonic ms at which the oldest of them became ready. */
  readySinceMs: number
  /** Blocks between arrival and commit. */
  inFlight: number
  /** Meters owed a receipt for what is durable. */
  readonly receiptsDue: Set<Meter>
  /** Those held back, with the time since when. */
  held: { since: number; release: () => void }[]
  /** Events not derived from blocks; they become durable with the next commit. */
  readonly events: EventCollector
  /** Events that follow from blocks: a replay finds them again, so the checkpoint carries them. */
  readonly derived: EventCollector
  /** Ranges to be listed, by what tells them apart; derived from blocks as well. */
  readonly gaps: Map<string, Gap>
  /** Durable readings of all meters that wait for their time. */
  waitingReadings: number
  /** Items whose checkpoint has not succeeded yet. */
  unsavedItems: Uint8Array[]
  /** To be written with them: `Backlog.lostFromS` once they are in the outbox. */
  unsavedLostFromS: number | null | undefined
  revocations: RevocationList | null
  /** Sessions that have not heard of that list. */
  readonly newsDue: Set<Meter>
  nextMeterId: number
  lastGroupId: number
  lastCheckpointMs: number
  lastStatusMs: number
  /** Refusals of blocks that last, as of the last fogStatus item. */
  lastStatusRefusals: number
  lastWindowsMs: number
  /** Monotonic ms at which a block last changed the windows. */
  lastAppliedMs: number
  /** Up to which reading time statements went out: Infinity after a quiet time; null: some are held back. */
  forwardedThroughS: number | null
  readonly startedMs: number
}

export function newCounters(): FogCounters {
  return {
    messages: 0,
    live: 0,
    readings: 0,
    blocks: 0,
    readingsGivenUp: 0,
    verified: 0,
    repeats: 0,
    refused: {},
    commits: 0,
    commitFailures: 0,
    lastCommitMs: 0,
    commitMs: 0,
    checkpoints: 0,
    summaries: 0,
    revisions: 0,
    registers: 0,
    events: 0,
    damagedItems: { madeAgain: 0, lost: 0 },
    listsSent: 0,
  }
}

/** The parts of a core that start empty. */
export function emptyState(clock: Clock) {
  const now = clock.monotonic()
  return {
    counters: newCounters(),
    meters: new Map<string, Meter>(),
    channels: new Map<string, Meter>(),
    ready: [] as PendingBlock[],
    readyBytes: 0,
    readySinceMs: 0,
    inFlight: 0,
    receiptsDue: new Set<Meter>(),
    held: [] as Core['held'],
    events: createEvents(),
    derived: createEvents(),
    gaps: new Map<string, Gap>(),
    waitingReadings: 0,
    unsavedItems: [] as Uint8Array[],
    unsavedLostFromS: undefined,
    revocations: null,
    newsDue: new Set<Meter>(),
    nextMeterId: 1,
    lastGroupId: 0,
    lastCheckpointMs: now,
    lastStatusMs: now,
    lastStatusRefusals: 0,
    lastWindowsMs: now,
    lastAppliedMs: now,
    forwardedThroughS: 0,
    startedMs: now,
  }
}

export function wallS(core: Pick<Core, 'clock'>): number {
  return Math.max(0, Math.floor(core.clock.now() / 1000))
}

export function countRefused(core: Core, code: string): void {
  core.counters.refused[code] = (core.counters.refused[code] ?? 0) + 1
}

/** Sends to the meter's present session; nothing happens when it has none. */
export function reply(core: Core, meter: Meter, message: Down): void {
  if (meter.channelId !== null) core.link.send(meter.channelId, encodeDown(message))
}
