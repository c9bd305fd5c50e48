import { askedAgain, encodeItem, type FogStatus, type Summary } from '#messages'
import { saveCheckpoint } from './checkpoint.ts'
import { commitDue, commitGroup, sendReceipts } from './commit.ts'
import { wallS, type Core } from './core.ts'
import { replaceDamaged } from './damaged.ts'
import { sendNews } from './news.ts'
import { sendLost } from './repair.ts'
import { forwardStatement } from './registers.ts'
import { releaseOverdue } from './time.ts'

/**
 * All that has to happen as time passes. Call every 20 to 50 ms. Throws what the store throws, with
 * everything kept for the next call.
 */
export function tick(core: Core): void {
  try {
    if (commitDue(core)) commitGroup(core)
    replaceDamaged(core)
    sendReceipts(core, false)
    sendNews(core)
    closeWindows(core)
    checkpointIfDue(core)
  } finally {
    releaseHeld(core)
  }
}

/** How often windows are looked at, ms: they are minutes long. */
const windowsEveryMs = 250

/**
 * Windows that are due become summaries. Statements follow the same clock, but not the same rule:
 * a window withheld because it has too few meters does not hold back anybody's register.
 */
function closeWindows(core: Core): void {
  const now = core.clock.monotonic()
  if (now - core.lastWindowsMs < windowsEveryMs) return
  core.lastWindowsMs = now
  const summaries = core.windows.close(now)
  releaseOverdue(core)
  sendLost(core)
  const throughS = reachedS(core, summaries, now)
  if (summaries.length === 0 && throughS === core.forwardedThroughS) return
  // While no register fits into the outbox, each meter keeps its own; the newest goes out later.
  if (core.store.backlog().full) core.forwardedThroughS = null
  else forwardRegisters(core, throughS)
  // Behind the registers, which say what is counted: a store may be lost in between.
  for (const summary of summaries) {
    core.unsavedItems.push(encodeItem({ type: 'summary', summary }))
    if (summary.revision === 0) core.counters.summaries += 1
    else core.counters.revisions += 1
  }
  if (core.unsavedItems.length > 0) saveCheckpoint(core)
}

/** Reading time up to which windows have ended; Infinity once nothing has come for long. */
function reachedS(core: Core, summaries: readonly Summary[], now: number): number {
  const { seconds, idleSeconds } = core.settings.window
  if (now - core.lastAppliedMs >= idleSeconds * 1000) return Infinity
  const watermarkS = core.windows.reachedS()
  const ended = watermarkS === null ? 0 : Math.floor(watermarkS / seconds) * seconds
  return Math.max(ended, ...summaries.map(({ endS }) => endS))
}

function forwardRegisters(core: Core, throughS: number): void {
  core.forwardedThroughS = throughS
  const { seconds, graceSeconds, idleSeconds } = core.settings.window
  const notedByMs = core.clock.monotonic() - (seconds + graceSeconds + idleSeconds) * 1000
  for (const meter of core.meters.values()) {
    const items = forwardStatement(meter, throughS, notedByMs)
    if (items.length > 0) core.counters.registers += 1
    core.unsavedItems.push(...items)
  }
}

function checkpointIfDue(core: Core): void {
  const now = core.clock.monotonic()
  if (statusDue(core, now)) {
    core.lastStatusMs = now
    core.lastStatusRefusals = lastingRefusals(core)
    core.unsavedItems.push(encodeItem({ type: 'fogStatus', status: fogStatus(core) }))
  }
  const due = now - core.lastCheckpointMs >= core.settings.checkpointMs
  // How long readings have waited for their time must survive a restart too.
  if (due) for (const meter of core.meters.values()) meter.dirty ||= meter.waiting.length > 0
  if (core.unsavedItems.length > 0 || (due && isDirty(core))) saveCheckpoint(core)
}

/** An operator hears of refusals soon, but a meter that causes many does not wear the card. */
function statusDue(core: Core, now: number): boolean {
  const { statusMs } = core.settings
  if (statusMs <= 0) return false
  const waitedMs = now - core.lastStatusMs
  const news = waitedMs >= statusMs / 10 && lastingRefusals(core) !== core.lastStatusRefusals
  return news || waitedMs >= statusMs
}

function lastingRefusals({ counters }: Core): number {
  return Object.entries(counters.refused)
    .filter(([reason]) => !askedAgain.has(reason))
    .reduce((sum, [, count]) => sum + count, 0)
}

function isDirty(core: Core): boolean {
  for (const meter of core.meters.values()) if (meter.dirty) return true
  return false
}

export function fogStatus(core: Core): FogStatus {
  const { counters } = core
  return {
    timeS: wallS(core),
    uptimeS: Math.floor((core.clock.monotonic() - core.startedMs) / 1000),
    metersKnown: core.meters.size,
    metersOnline: core.channels.size,
    readings: counters.readings,
    blocks: counters.blocks,
    refused: { ...counters.refused },
    outbox: core.store.backlog().items,
    storeBytes: core.store.sizeBytes(),
    version: core.version,
    ...(core.machine !== undefined && { machine: core.machine() }),
  }
}

/** Holds the caller back while too much is in flight; undefined when there is room. */
export function holdIfFull(core: Core): Promise<void> | undefined {
  if (core.inFlight < core.settings.maxInFlight) return undefined
  return new Promise((release) => core.held.push({ since: core.clock.monotonic(), release }))
}

function releaseHeld(core: Core): void {
  if (core.held.length === 0) return
  const room = core.inFlight < core.settings.maxInFlight / 2
  const oldest = core.clock.monotonic() - core.settings.holdMs
  const free = core.held.filter(({ since }) => room || since <= oldest)
  core.held = core.held.filter((entry) => !free.includes(entry))
  for (const { release } of free) release()
}
