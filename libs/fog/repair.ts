import { encodeItem } from '#messages'
import { saveCheckpoint } from './checkpoint.ts'
import { wallS, type Core } from './core.ts'
import { statementAgain } from './registers.ts'
import type { SetBack } from './uplink.ts'
import { withdrawnItem } from './withdrawal.ts'

/**
 * A cloud node no longer holds what it once acknowledged: every window this node still has goes
 * into the outbox again as it was last issued, with each meter's newest statement. What the cloud
 * does hold it recognises by its content. Throws what the store throws, with nothing kept.
 */
export function sendAgain(core: Core, { node, durable, receipted }: SetBack): void {
  const summaries = core.windows.lastIssued()
  const statements = [...core.meters.values()].flatMap(statementAgain)
  const detail =
    `${node} had acknowledged items up to ${receipted} and now holds ${durable}: its store was lost ` +
    `or restored from an older copy; sent again: ${summaries.length} windows and ` +
    `${statements.length / 2} registers; register statements in between and events are not`
  const before = core.unsavedItems
  core.unsavedItems = [
    ...before,
    encodeItem({ type: 'event', event: eventOf('cloud-set-back', wallS(core), detail) }),
    ...statements,
    ...summaries.map((summary) => encodeItem({ type: 'summary', summary })),
  ]
  try {
    saveCheckpoint(core)
  } catch (error) {
    core.unsavedItems = before
    throw error
  }
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
 * node, whose store was lost or restored, got further. Its sums there are the fuller ones and stay;
 * a revision of ours would count less. The readings are stored here and the registers are exact.
 */
export function yieldWindow(core: Core, startS: number): void {
  core.windows.drop(startS)
  const detail =
    `the window from ${startS} is stored in the cloud with other sums, from before this node's ` +
    'store was lost or restored; those stay, and what this node counted in it is not added'
  core.events.add('window-conflict', null, wallS(core), detail)
}

/** All items this node can make again; what the cloud has of them it knows by their content. */
export function everythingAgain({ meters, windows }: Core): Uint8Array[] {
  return [
    ...[...meters.values()].flatMap(statementAgain),
    ...windows.lastIssued().map((summary) => encodeItem({ type: 'summary', summary })),
    ...[...meters.values()].flatMap(({ deviceId, runs }) =>
      runs
        .filter(({ first, withdrawn }) => withdrawn >= first)
        .map((run) => withdrawnItem(deviceId, run)),
    ),
  ]
}

function eventOf(code: string, timeS: number, detail: string) {
  return { code, timeS, deviceId: null, detail }
}
