import type { Outbox } from '#delivery'
import type { WindowRow } from '#window'

/** What is kept about a meter besides its blocks. */
export interface MeterRow {
  /** Small number, stable for the life of the store; blocks refer to their meter by it. */
  id: number
  deviceId: string
  /** The credential its newest block was accepted under. */
  credential: Uint8Array
  /** Snapshot as of the last checkpoint (see snapshot.ts); null before the first one. */
  state: Uint8Array | null
}

/** One signed block, as it lies in the log. */
export interface BlockRow {
  meterId: number
  /** #reading `encodeBlock`. */
  body: Uint8Array
}

/** The blocks that became durable together. */
export interface BlockGroup {
  id: number
  /** Wall clock of the commit, seconds since 1970. */
  committedS: number
  /** Null when its bytes are not those that were written and no single flipped bit explains them. */
  blocks: BlockRow[] | null
  /** One flipped bit explains what is there; whether it was that one the signatures must prove. */
  mended: boolean
}

/** One step of the steady state: everything in it becomes durable together, or nothing does. */
export interface Commit {
  committedS: number
  blocks: readonly BlockRow[]
  /** Meters that are new or have a new credential; `state` is not touched. */
  meters: readonly Omit<MeterRow, 'state'>[]
  /** Encoded items for the outbox. */
  items: readonly Uint8Array[]
}

/** A point from which a restart replays: everything up to group `throughId` is contained in it. */
export interface Checkpoint {
  throughId: number
  /** Changed meters only. */
  meters: readonly { id: number; state: Uint8Array }[]
  /** Changed windows by their start, and the starts of windows that are gone. */
  windows: { rows: readonly WindowRow[]; removed: readonly number[] }
  items: readonly Uint8Array[]
  /** Ranges of readings that are among the items, to be kept beside them. */
  gaps: readonly GapRow[]
  /** With the items: `Backlog.lostFromS` as it is from now on, where it changes. */
  lostFromS?: number | null | undefined
}

/** A range of readings as it was last told to the cloud; one that has grown replaces itself. */
export interface GapRow {
  key: string
  /** An item. */
  body: Uint8Array
}

export interface Loaded {
  meters: MeterRow[]
  windows: WindowRow[]
  /** `throughId` of the last checkpoint, 0 when there was none. */
  throughId: number
}

/** How far each cloud node has acknowledged the outbox, to notice one that has forgotten. */
export interface Receipts {
  /** 0 for a node never heard of. */
  through(node: string): number
  /** May reach the disk with a later transaction. */
  note(node: string, number: number): void
}

/** What waits for the cloud. */
export interface Backlog {
  items: number
  /** Wall time (s) at which the oldest went in, null when there is none. */
  oldestS: number | null
  /** Nothing but credentials and registers, and as many as may be kept: no register fits. */
  full: boolean
  /** How many more there is room for. */
  room: number
  /** Start of the oldest window whose summary was given up and has not been put in again. */
  lostFromS: number | null
  /** Items given up since the start because there was no room, by type. */
  givenUp: Readonly<Record<string, number>>
}

/** An item of the outbox whose bytes are not those that were put there. */
export interface DamagedItem {
  number: number
  /** What was put there, if one flipped bit explains what is there now (see #bytes `unflip`); else null. */
  body: Uint8Array | null
}

/**
 * The durable side of a fog node. Every method is one transaction: when it returns, the change
 * survives a power cut; when it throws, nothing has changed.
 */
export interface FogStore {
  load(): Loaded
  /** Groups with a higher id, oldest first, at most `limit`. */
  groupsAfter(id: number, limit: number): BlockGroup[]
  /** Appends; returns the id of the new group (of the last one when there were no blocks). */
  commit(commit: Commit): number
  checkpoint(checkpoint: Checkpoint): void
  /** Items of the ranges that are kept, oldest first; damaged ones are left out. */
  gaps(): Uint8Array[]
  /** Deletes groups committed and ranges told before `beforeS` that no restart needs; returns how many groups. */
  prune(beforeS: number): number
  /**
   * What follows from a commit or checkpoint for the cloud. It has a limit; above that the oldest
   * summaries, events and statuses go, never a register or a credential.
   */
  readonly outbox: Outbox
  backlog(): Backlog
  /** What the last `outbox.read` stopped at; null when there is no such item. */
  damaged(): DamagedItem | null
  /** Takes that item out of the outbox and puts `items` at its end, in one transaction. */
  replaceDamaged(number: number, items: readonly Uint8Array[]): void
  /** Bytes the store occupies. */
  sizeBytes(): number
}
