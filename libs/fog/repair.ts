import { encodeItem } from '#messages'
import type { Block } from '#reading'
import { saveCheckpoint } from './checkpoint.ts'
import { wallS, type Core } from './core.ts'
import { blocksFrom } from './log.ts'
import type { Meter, Run } from './meter.ts'
import { registerItem, statementAgain } from './registers.ts'
import type { SetBack } from './uplink.ts'
import { withdrawnItem } from './withdrawal.ts'

/**
 * A cloud node no longer holds what it once acknowledged: all that this node can make again goes into
 * the outbox again. What the cloud does hold it recognises by its content. Throws what the store
 * throws, with nothing kept.
 */
export function sendAgain(core: Core, { node, durable, receipted }: SetBack): void {
  const again = everythingAgain(core)
  const detail =
    `${node} had acknowledged items up to ${receipted} and now holds ${durable}: its store was lost ` +
    `or restored from an older copy; sent again: ${core.windows.lastIssued().length} windows and the ` +
    `newest registers of ${core.meters.size} meters; registers in between and events are not`
  const before = core.unsavedItems
  core.unsavedItems = [
    ...before,
    encodeItem({ type: 'event', event: eventOf('cloud-set-back', wallS(core), detail) }),
    ...again,
  ]
  try {
    saveCheckpoint(core)
  } catch (error) {
    core.unsavedItems = before
    throw error
  }
}

/**
 * This store lost its newest part: an old copy took its place, or a flipped bit in the database's log,
 * behind which SQLite takes nothing for written. What it holds has gone above the numbers of the cloud.
 */
export function noteForgotten(core: Core, { from, to }: { from: number; to: number }): void {
  const detail =
    `the cloud has outbox items up to ${to - 1} that this store, whose next was ${from}, does not know: ` +
    'its newest part is lost. What it holds goes under new numbers; readings receipted and lost are in no ' +
    'log, and ranges of them are listed when their meters come'
  core.events.add('store-set-back', null, wallS(core), detail)
}

/** Windows put in again at a time, so that no transaction grows large. */
const lostAtOnce = 500

/**
 * Summaries that had to make room in the outbox go into it again, as their windows were last issued,
 * once it is half empty: the oldest first. One with readings not issued yet follows by itself.
 */
export function sendLost(core: Core): void {
  const { items, room, lostFromS } = core.store.backlog()
  if (lostFromS === null || core.unsavedLostFromS !== undefined) return
  const most = Math.min(lostAtOnce, Math.floor((room - items) / 2))
  if (most < 1) return
  const lost = core.windows.lastIssued().filter(({ startS }) => startS >= lostFromS)
  const now = lost.slice(0, most)
  core.unsavedItems.push(...now.map((summary) => encodeItem({ type: 'summary', summary })))
  core.unsavedLostFromS = lost[most]?.startS ?? null
  saveCheckpoint(core)
}

/**
 * The cloud holds another history of this window under the same revision: a former life of this
 * node, whose store was lost or restored, got further. Its sums stay, and the cloud takes no revision
 * of ours any more. The readings are stored here and the registers are exact.
 */
export function yieldWindow(core: Core, startS: number): void {
  core.windows.drop(startS)
  const detail =
    `the window from ${startS} is stored in the cloud with other sums, from before this node's ` +
    'store was lost or restored; those stay, and what this node counted in it is not added'
  core.events.add('window-conflict', null, wallS(core), detail)
}

/** All items this node can make again; what the cloud has of them it knows by their content. */
export function everythingAgain(core: Core): Uint8Array[] {
  const { meters, windows } = core
  return [
    ...[...meters.values()].flatMap((meter) => statementsAgain(core, meter)),
    ...windows.lastIssued().map((summary) => encodeItem({ type: 'summary', summary })),
    ...[...meters.values()].flatMap(({ deviceId, runs }) =>
      runs
        .filter(({ first, withdrawn }) => withdrawn >= first)
        .map((run) => withdrawnItem(deviceId, run)),
    ),
    ...core.store.gaps(),
  ]
}

/** The newest statement of a meter, behind those that say how far this node counts its earlier runs. */
function statementsAgain(core: Core, meter: Meter): Uint8Array[] {
  const [credential, ...newest] = statementAgain(meter)
  if (credential === undefined) return []
  const ends = meter.runs.flatMap((run, index) => endOf(core, meter, run, meter.runs[index + 1]))
  return [credential, ...ends, ...newest]
}

/** The statement that ends a run; none for one that goes on, or whose part of the log is gone. */
function endOf(core: Core, meter: Meter, run: Run, next: Run | undefined): Uint8Array[] {
  if (next === undefined && !run.ended) return []
  let end: Block | null = null
  for (const block of blocksFrom(core, meter, run)) {
    if (block === null) return []
    if (block.readings.length === 0 || block.statement.first >= (next?.first ?? Infinity)) break
    end = block
  }
  return end === null ? [] : [registerItem(meter, { ...end, from: run.first })]
}

function eventOf(code: string, timeS: number, detail: string) {
  return { code, timeS, deviceId: null, detail }
}
