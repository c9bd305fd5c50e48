import type { Down, Withdrawn } from '#messages'
import type { Statement } from '#reading'
import { note, Refusal, type ApplyContext } from './context.ts'
import type { CloudTx, Run } from './store.ts'

/** Runs of one meter at most: more are no moves of a meter but a fog that makes them up. */
const MAX_RUNS = 1_024
/** A request that was lost is made again after this long. */
const ASK_AGAIN_S = 60
/** Requests in answer to one message. */
const MAX_ASKED = 16

/**
 * Takes note of what a fog says it counts of a meter: every number after `first` and `withdrawn` to the
 * statement's last. Where two runs share numbers, the one that begins later has them from a meter that
 * moved without its receipts: it begins inside the other, so what they share is where it begins. What
 * was let go, or is asked for, is not counted: whoever gives way has nothing left that only it has, in
 * whatever order a cloud hears of it that was set back.
 */
export function noteRun(
  context: ApplyContext,
  { deviceId, last }: Statement,
  { first: from, withdrawn }: Pick<Run, 'first' | 'withdrawn'>,
): void {
  if (from > last) throw new Refusal('register/bad-run', 'the run begins after its end')
  const { tx, fog, record } = context
  const runs = tx.runs(deviceId)
  const mine = (run: Run): boolean => run.fog === fog.deviceId && run.offset === record.offset
  const known = runs.findIndex((run) => mine(run) && run.first === from)
  if (known < 0 && runs.length >= MAX_RUNS)
    throw new Refusal('register/too-many-runs', 'no meter moves that often')
  const before = runs[known] ?? newRun(context, deviceId, from)
  let run: Run = {
    ...before,
    last: Math.max(before.last, last),
    withdrawn: Math.max(before.withdrawn, withdrawn),
  }
  for (const [index, other] of runs.entries()) {
    const [begin, otherBegins] = [beginOf(run), beginOf(other)]
    if (mine(other) || otherBegins > run.last || begin > other.last) continue
    // In the order of arrival, so that the same one gives way whichever is looked at.
    const later = begin > otherBegins || (begin === otherBegins && isNewer(known, index))
    const through = Math.min(run.last, other.last)
    if (later) run = doubledThrough(context, run, other, through)
    else {
      const changed = doubledThrough(context, other, run, through)
      if (changed !== other) tx.saveRun(changed)
    }
  }
  tx.saveRun(run)
}

/** The first number that stays counted. */
function beginOf({ doubled, withdrawn }: Run): number {
  return Math.max(doubled, withdrawn) + 1
}

function newRun({ fog, record }: ApplyContext, deviceId: string, first: number): Run {
  const counted = { first, last: first, doubled: first - 1, withdrawn: first - 1, askedS: 0 }
  return { deviceId, fog: fog.deviceId, offset: record.offset, ...counted }
}

/** Whether the run at `index` (negative: not saved yet) came after the one at `other`. */
function isNewer(index: number, other: number): boolean {
  return index < 0 || index > other
}

function doubledThrough(context: ApplyContext, run: Run, keeper: Run, through: number): Run {
  if (through <= run.doubled) return run
  const keeps = keeper.fog === run.fog ? `a store of ${keeper.fog} before` : keeper.fog
  const detail = `readings ${run.first} to ${through} are counted by ${run.fog} too; ${keeps} keeps them`
  note(context, 'counted-twice', run.deviceId, detail)
  context.doubling.add(run.fog)
  return { ...run, doubled: through, askedS: 0 }
}

/** On a new channel: what was asked on the one before may have gone into the void. */
export function forgetAsked(tx: CloudTx, fog: string, offset: number): void {
  for (const run of tx.doubledRuns(fog, offset, MAX_ASKED)) tx.saveRun({ ...run, askedS: 0 })
}

/** What a fog is to let go of with its present store, as far as it was not asked just now. */
export function withdrawals(tx: CloudTx, fog: string, nowS: number): Down[] {
  const offset = tx.fog(fog)?.offset ?? 0
  return tx
    .doubledRuns(fog, offset, MAX_ASKED)
    .filter(({ askedS }) => Math.abs(nowS - askedS) >= ASK_AGAIN_S)
    .map((run): Down => {
      tx.saveRun({ ...run, askedS: nowS })
      return { type: 'withdraw', deviceId: run.deviceId, first: run.first, through: run.doubled }
    })
}

/** The fog has let go; its revisions without these readings came before. */
export function applyWithdrawn(context: ApplyContext, withdrawn: Withdrawn): 'stored' {
  const { tx, fog, record } = context
  const { deviceId, first, through, readings, importWh } = withdrawn
  const run = tx
    .runs(deviceId)
    .find((r) => r.fog === fog.deviceId && r.offset === record.offset && r.first === first)
  if (run === undefined || through > run.last)
    throw new Refusal('withdrawn/unknown', 'no such run of this meter was counted')
  tx.saveRun({ ...run, withdrawn: Math.max(run.withdrawn, through) })
  const detail = `readings ${first} to ${through}: ${readings} of them and ${importWh} Wh are out of its windows`
  note(context, 'withdrawn', deviceId, detail)
  return 'stored'
}
