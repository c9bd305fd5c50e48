import { equal } from '#bytes'
import { NAME_PATTERN, requireRole } from '#credential'
import type { Credential, Trust } from '#credential'
import { CodedError } from '#errors'
import type { Item, ReceivedItem, Summary } from '#messages'
import { encodeStatement, lastDateS, peekRegister, verifyRegister } from '#reading'
import type { Statement } from '#reading'
import { note, Refusal, UnknownMeter, type ApplyContext } from './context.ts'
import {
  ownFlags,
  registerFlagNames,
  registerFlags,
  suspiciousFlags,
  wentBack,
} from './register.ts'
import type { RegisterEntry, RegisterFacts } from './store.ts'
import { applyWithdrawn, noteRun } from './runs.ts'
import { checkSummary, mergedWith, sameSummary, totalsWith } from './summary.ts'

/** A re-enrolled meter has several; more than this many are not tried. */
const MAX_CREDENTIALS = 8

function refuseOnError<T>(check: () => T): T {
  try {
    return check()
  } catch (error) {
    if (error instanceof CodedError) throw new Refusal(error.code, error.message, { cause: error })
    throw error
  }
}

/**
 * Checks one outbox item, then stores it. Throws `Refusal` when the item can never be accepted;
 * nothing of it is stored then, only that its window is forked, if that is why. Any other error is
 * ours and undoes the whole transaction. Returns `stored`, or `duplicate` when the same content was there already.
 */
export function applyItem(
  context: ApplyContext,
  number: number,
  item: ReceivedItem,
): 'stored' | 'duplicate' {
  switch (item.type) {
    case 'summary':
      return applySummary(context, number, item.summary)
    case 'register':
      return applyRegister(context, number, item)
    case 'credential':
      return applyCredential(context, item.cwt)
    case 'event':
      return applyEvent(context, item)
    case 'gap':
      return applyGap(context, item)
    case 'fogStatus':
      refuseOnError(() => checkTime(item.status.timeS))
      context.tx.saveStatus(context.fog.deviceId, item.status)
      return 'stored'
    case 'withdrawn':
      return applyWithdrawn(context, item.withdrawn)
    default:
      throw new Refusal(item.code, 'the item cannot be read')
  }
}

function applySummary(
  context: ApplyContext,
  number: number,
  received: Summary,
): 'stored' | 'duplicate' {
  const { tx, record, nowS } = context
  const fog = context.fog.deviceId
  refuseOnError(() => checkSummary(received))
  const base = record.offset > 0 ? tx.summaryThrough(fog, received.startS, record.offset) : null
  const summary = base ? mergedWith(base, received) : received
  const present = tx.summary(fog, summary.startS, summary.revision)
  if (present) {
    if (sameSummary(present, summary)) return 'duplicate'
    // Remembered: what follows it would take the place of sums it does not contain.
    tx.saveFork(fog, summary.startS)
    throw new Refusal('summary/conflict', 'this revision is stored with other values')
  }
  if (tx.isForked(fog, summary.startS))
    throw new Refusal('summary/conflict', 'a revision before this one contradicts what is stored')
  const current = tx.latestSummary(fog, summary.startS)
  const latest = current === null || summary.revision > current.revision
  tx.addSummary({ fog, number, summary, receivedS: nowS, latest })
  if (latest) record.totals = totalsWith(record.totals, summary, current)
  if (latest && current && summary.readings < current.readings) {
    const detail = `revision ${summary.revision} of the window from ${summary.startS} counts ${summary.readings} readings, the one before ${current.readings}`
    note(context, 'summary-shrunk', null, detail)
  }
  return 'stored'
}

function applyCredential(
  { tx, trust, fog, nowS }: ApplyContext,
  cwt: Uint8Array,
): 'stored' | 'duplicate' {
  const credential = refuseOnError(() => meterCredential(trust, cwt, fog.group))
  const present = tx.credentials(credential.deviceId, MAX_CREDENTIALS)
  if (present.some((encoded) => equal(encoded, cwt))) return 'duplicate'
  tx.addCredential({ fog: fog.deviceId, credential, receivedS: nowS })
  return 'stored'
}

function meterCredential(trust: Trust, cwt: Uint8Array, group: string): Credential {
  const credential = trust.check(cwt)
  requireRole(credential, 'meter', group)
  return credential
}

function applyEvent(
  { tx, fog, nowS }: ApplyContext,
  { event }: Extract<Item, { type: 'event' }>,
): 'stored' {
  refuseOnError(() => checkTime(event.timeS))
  if (event.deviceId !== null && !NAME_PATTERN.test(event.deviceId))
    throw new Refusal('event/bad-device', 'the device name is malformed')
  tx.addEvent({ ...event, fog: fog.deviceId, source: 'fog', receivedS: nowS })
  return 'stored'
}

function applyGap(
  { tx, fog, nowS }: ApplyContext,
  { gap }: Extract<Item, { type: 'gap' }>,
): 'stored' {
  for (const timeS of [gap.startS, gap.endS]) refuseOnError(() => checkTime(timeS ?? 0))
  if (!NAME_PATTERN.test(gap.deviceId))
    throw new Refusal('gap/bad-device', 'the device name is malformed')
  tx.saveGap({ ...gap, fog: fog.deviceId, receivedS: nowS })
  return 'stored'
}

/** Every stored time can be printed as a date. */
function checkTime(timeS: number): void {
  if (timeS > lastDateS) throw new CodedError('item/bad-time', 'the time lies beyond the year 9999')
}

function applyRegister(
  context: ApplyContext,
  number: number,
  { envelope, from, withdrawn }: Extract<Item, { type: 'register' }>,
): 'stored' | 'duplicate' {
  const { tx, crypto, fog, nowS } = context
  const { statement, credential } = verify(context, envelope)
  // Also for a register another node has brought already: that is when it matters.
  if (from !== undefined) noteRun(context, statement, { first: from, withdrawn: withdrawn ?? 0 })
  // Over the statement, not the envelope: a fog could pad the unsigned header to fake a second history.
  const digest = crypto.sha256(encodeStatement(statement))
  const { deviceId, last } = statement
  const same = tx.registersAt(deviceId, last)
  if (same.some((facts) => equal(facts.digest, digest))) return 'duplicate'
  const before = tx.registerBefore(deviceId, last)
  const after = tx.registerAfter(deviceId, last)
  const flags =
    ownFlags(statement, credential) |
    (before ? wentBack(before, statement) : 0) |
    (same.length > 0 ? registerFlags.conflict : 0)
  const newest = same.length === 0 && after === null
  const entry = { statement, envelope, digest, flags, newest, receivedS: nowS }
  tx.addRegister({ ...entry, fog: fog.deviceId, number, credential })
  noteFlags(context, entry)
  for (const other of same) flagOther(context, deviceId, other, registerFlags.conflict)
  if (after) flagOther(context, deviceId, after, wentBack(statement, after))
  return 'stored'
}

/**
 * Finds the credential whose key signed the envelope. Revoked ones do not count, but expired ones do
 * (`trust` judges no validity period, see `createCloud`): a register may wait in a fog's outbox for
 * days, and evidence that was good when it was signed stays good.
 */
function verify(
  { tx, crypto, trust, fog }: ApplyContext,
  envelope: Uint8Array,
): { statement: Statement; credential: Credential } {
  const { deviceId } = refuseOnError(() => peekRegister(envelope))
  let failure: Refusal = new UnknownMeter(deviceId)
  for (const encoded of tx.credentials(deviceId, MAX_CREDENTIALS)) {
    try {
      return refuseOnError(() => {
        const credential = meterCredential(trust, encoded, fog.group)
        const key = crypto.verifyKey(credential.publicKey)
        return { statement: verifyRegister(key, envelope), credential }
      })
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      failure = error
    }
  }
  throw failure
}

/** Marks a stored register because of a new one beside it. */
function flagOther(
  context: ApplyContext,
  deviceId: string,
  facts: RegisterFacts,
  flags: number,
): void {
  const added = flags & ~facts.flags
  if (added === 0) return
  context.tx.flagRegister(deviceId, facts, facts.flags | added)
  const names = registerFlagNames(added).join(', ')
  note(context, eventCode(added), deviceId, `reading ${facts.last}: ${names}`)
}

function noteFlags(
  context: ApplyContext,
  { statement, flags }: Pick<RegisterEntry, 'statement' | 'flags'>,
): void {
  const suspicious = flags & suspiciousFlags
  if (suspicious === 0) return
  const detail = `reading ${statement.last}: ${registerFlagNames(flags).join(', ')}`
  note(context, eventCode(suspicious), statement.deviceId, detail)
}

function eventCode(flags: number): string {
  if ((flags & registerFlags.conflict) !== 0) return 'register-conflict'
  const backwards = registerFlags.importBack | registerFlags.exportBack
  return (flags & backwards) !== 0 ? 'register-backwards' : 'register-time'
}
