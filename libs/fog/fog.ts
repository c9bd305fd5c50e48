import type { Credential, RevocationList } from '#credential'
import type { Crypto } from '#crypto'
import type { Reading } from '#reading'
import type { Clock } from '#ports'
import { createWindows } from '#window'
import type { FogStatus, MachineStatus } from '#messages'
import { restore, saveCheckpoint } from './checkpoint.ts'
import { commitGroup, sendReceipts } from './commit.ts'
import { emptyState, newCounters, wallS } from './core.ts'
import type { DamagedReport } from './damaged.ts'
import type { Core, FogCounters, FogSettings, MeterLink } from './core.ts'
import { closeSession } from './session-end.ts'
import { applyRevocations, openSession, takeMessage } from './sessions.ts'
import { noteForgotten, sendAgain, yieldWindow } from './repair.ts'
import type { FogStore } from './store.ts'
import type { SetBack } from './uplink.ts'
import { fogStatus, holdIfFull, tick } from './upkeep.ts'
import type { Verifier } from './verifier.ts'
import { withdrawRange } from './withdrawal.ts'

export interface FogOptions {
  crypto: Crypto
  clock: Clock
  store: FogStore
  verifier: Verifier
  link: MeterLink
  settings: FogSettings
  /** Release, for fogStatus items. */
  version: string
  /** The machine's part of them. */
  machine?: () => MachineStatus
  /** An error nobody foresaw has cost this meter its session: a defect, for the log. */
  onUnexpected?: (error: unknown, deviceId: string) => void
  /** An outbox item was damaged on disk and has been replaced, as far as that goes: for the log. */
  onDamagedItem?: (damaged: DamagedReport) => void
}

/** One meter as an operator sees it. */
export interface MeterView {
  deviceId: string
  online: boolean
  /** Highest durable reading number. */
  durable: number
  /** Newest reading received, live or signed; null before the first since the start. */
  latest: Reading | null
}

/**
 * A fog node without its sockets: messages of meters in, durable signed blocks, receipts, window
 * summaries and outbox items out.
 */
export interface Fog {
  open(channelId: string, peer: Credential): void
  closed(channelId: string): void
  /** One message; a promise asks the caller to hold further ones back until it settles. */
  receive(channelId: string, payload: Uint8Array): Promise<void> | undefined
  /** Commits, closes windows, checkpoints; every 20 to 50 ms. Throws what the store throws. */
  tick(): void
  /** Commits everything that has been verified and sends every receipt, now. */
  flush(): void
  /** `flush` and a checkpoint, so that the next start has nothing to replay. */
  close(): void
  /** A new list: honoured at once, passed on to every session, now and when one opens later. */
  revoke(list: RevocationList): void
  /** A cloud node has forgotten what it acknowledged: see `createUplink`. Throws what the store throws. */
  sendAgain(setBack: SetBack): void
  /** The cloud has items below number `to` that this store has forgotten, or had numbered up to `from`. */
  forgotten(numbers: { from: number; to: number }): void
  /** The cloud refused the window from `startS`, because it holds another history of it. */
  yieldWindow(startS: number): void
  /**
   * The cloud's `withdraw`: of the meter's run from `first` on, counts nothing up to `through`.
   * Throws what the store throws; the next `tick` tries to write it down again.
   */
  withdraw(deviceId: string, first: number, through: number): void
  /** The credential a meter's newest durable block was signed under; null for an unknown meter. */
  credentialOf(deviceId: string): Uint8Array | null
  /**
   * Deletes signed blocks committed before this wall time. Windows that end before it get no revisions
   * any more; for them it counts from where the meters' time is, if that is behind this node's clock.
   */
  prune(beforeS: number): number
  counters(): Readonly<FogCounters>
  status(): FogStatus
  meters(): MeterView[]
  /** Blocks between arrival and commit. */
  inFlight(): number
  /** Of these, how many wait for their signature check. */
  judging(): number
  /** Durable readings that are not counted yet because their time is not known. */
  waitingReadings(): number
  /** Windows with something not summed up yet. */
  openWindows(): number
}

const quietDayMs = 86_400_000

/**
 * Forgetting a window is for ever, so this node's clock alone does not decide: the time its meters
 * have reached must be that far too, and by the clock that never steps a window must have been left
 * alone for a day. A clock that was in 2100 for a moment forgets nothing. Windows whose summaries had
 * to make room in the outbox stay until they have been sent, while there is room for windows.
 */
function forgetWindows(core: Core, beforeS: number): void {
  const reachedS = core.windows.reachedS()
  if (reachedS === null) return
  const retentionS = wallS(core) - beforeS
  const quietMs = Math.min(Math.max(0, retentionS * 1000), quietDayMs)
  const quietSinceMs = core.clock.monotonic() - quietMs
  const { lostFromS } = core.store.backlog()
  const crowded = core.windows.stats().held > core.settings.window.maxWindows / 2
  const keptFromS = crowded ? null : lostFromS
  const throughS = Math.min(beforeS, reachedS - retentionS, keptFromS ?? Infinity)
  core.windows.forgetThrough(throughS, quietSinceMs)
}

/** Opens a fog node on its store. Throws `fog/store-damaged` and what the store throws. */
export function createFog(options: FogOptions): Fog {
  const core: Core = {
    ...options,
    ...emptyState(options.clock),
    windows: createWindows(options.settings.window),
  }
  restore(core)
  // What was replayed had been counted by the process before this one.
  Object.assign(core.counters, newCounters())
  const flush = () => {
    do commitGroup(core)
    while (core.ready.length > 0)
    sendReceipts(core, true)
  }
  return {
    open: (channelId, peer) => openSession(core, channelId, peer),
    closed: (channelId) => closeSession(core, channelId),
    receive(channelId, payload) {
      takeMessage(core, channelId, payload)
      return holdIfFull(core)
    },
    tick: () => tick(core),
    flush,
    close() {
      flush()
      saveCheckpoint(core)
    },
    revoke: (list) => applyRevocations(core, list),
    sendAgain: (setBack) => sendAgain(core, setBack),
    forgotten: (numbers) => noteForgotten(core, numbers),
    yieldWindow: (startS) => yieldWindow(core, startS),
    withdraw: (deviceId, first, through) => withdrawRange(core, { deviceId, first, through }),
    credentialOf: (deviceId) => core.meters.get(deviceId)?.storedCredential ?? null,
    prune(beforeS) {
      forgetWindows(core, beforeS)
      return core.store.prune(beforeS)
    },
    counters: () => core.counters,
    status: () => fogStatus(core),
    meters: () =>
      [...core.meters.values()].map(({ deviceId, channelId, durable, latest }) => ({
        deviceId,
        online: channelId !== null,
        durable: durable.number,
        latest,
      })),
    inFlight: () => core.inFlight,
    judging: () => core.inFlight - core.ready.length,
    waitingReadings: () => core.waitingReadings,
    openWindows: () => core.windows.pending(),
  }
}
