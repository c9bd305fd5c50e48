import type { CodedError } from '#errors'
import { decodeBlock, encodeBlock, statementToSign, type Block } from '#reading'
import type { Up } from '#messages'
import { countRefused, reply, wallS, type Core } from './core.ts'
import { isOverloaded, withdraw } from './in-flight.ts'
import { assemble } from './live.ts'
import { positionAfter, type Meter, type PendingBlock } from './meter.ts'
import { placeBlock } from './placement.ts'
import { contain } from './session-end.ts'

/**
 * A whole block, or its statement where the meter had to give its readings up. Throws `reading/…`,
 * `cose/…` or `cbor/…` when its body cannot be read.
 */
export function takeReport(core: Core, meter: Meter, body: Uint8Array): void {
  const block = decodeBlock(core.crypto, body, meter.deviceId)
  // An envelope has an unsigned header, in which nobody shall fill our disk.
  takeBlock(core, meter, block, block.readings.length > 0 ? body : encodeBlock(block))
}

/** A signature over live readings received before. */
export function takeSignature(core: Core, meter: Meter, message: Up & { type: 'block' }): void {
  const { first, last, signature } = message
  if (last <= meter.tip.number) {
    core.counters.repeats += 1
    if (last <= meter.durable.number) core.receiptsDue.add(meter)
    return
  }
  const parts = assemble(core.crypto, meter, message)
  if (parts === null) {
    countRefused(core, 'incomplete')
    reply(core, meter, { type: 'resend', from: Math.min(first, meter.tip.number + 1) })
    return
  }
  takeBlock(core, meter, { ...parts, signature }, null)
}

function takeBlock(core: Core, meter: Meter, block: Block, body: Uint8Array | null): void {
  const { statement } = block
  switch (placeBlock(meter, statement)) {
    case 'next':
      stage(core, meter, block, body)
      return
    case 'early':
      countRefused(core, 'early')
      reply(core, meter, { type: 'resend', from: meter.tip.number + 1 })
      return
    case 'repeat':
    case 'old':
      core.counters.repeats += 1
      if (statement.last <= meter.durable.number) core.receiptsDue.add(meter)
      return
    case 'undecided':
      // No answer: if what stands there turns out wrong, the meter is asked for this one.
      countRefused(core, 'undecided')
      return
    case 'conflict':
      judgeRefusal(core, meter, block, 'conflict')
      return
    case 'start':
      judgeRefusal(core, meter, block, 'start-registers')
  }
}

/** Sends a block on its way: from here on the next one may follow it. */
function stage(core: Core, meter: Meter, block: Block, body: Uint8Array | null): void {
  if (isOverloaded(core, meter)) {
    // No answer: the meter keeps the block and sends it again when its patience ends.
    countRefused(core, 'overload')
    return
  }
  const pending: PendingBlock = {
    meter,
    block,
    body,
    credential: meter.credential,
    state: 'verifying',
    queued: false,
  }
  const { statement } = block
  meter.pending.push(pending)
  meter.tip = positionAfter(statement)
  meter.givenUpThrough = 0
  meter.live = meter.live.filter(({ number }) => number > statement.last)
  core.inFlight += 1
  void judge(core, meter, block, (good) => {
    if (good === null) unjudged(core, pending)
    else judged(core, pending, good)
  })
}

/** Asks the verifier; `then` gets its answer, null when it could not tell. Never rejects. */
async function judge(
  core: Core,
  meter: Meter,
  { statement, signature }: Block,
  then: (good: boolean | null) => void,
): Promise<void> {
  const { publicKey } = meter.credential
  let good: boolean | null = null
  try {
    good = await core.verifier.verify(publicKey, statementToSign(statement), signature)
  } catch {
    // Counted where it is known what was to be checked.
  }
  contain(core, meter, () => then(good))
}

/** Answers come in any order; a meter's blocks become ready in its own order. */
function judged(core: Core, pending: PendingBlock, good: boolean): void {
  if (pending.state !== 'verifying') return
  if (!good) return refuse(core, pending)
  core.counters.verified += 1
  pending.state = 'ready'
  const { meter } = pending
  const blockers = meter.pending.findIndex(({ state }) => state === 'verifying')
  const through = blockers < 0 ? meter.pending.length : blockers
  for (const entry of meter.pending.slice(0, through)) enqueue(core, entry)
}

function enqueue(core: Core, entry: PendingBlock): void {
  if (entry.queued) return
  entry.body ??= encodeBlock(entry.block)
  entry.queued = true
  if (core.ready.length === 0) core.readySinceMs = core.clock.monotonic()
  core.ready.push(entry)
  core.readyBytes += entry.body.length
}

/**
 * A bad signature on a report is the meter's own: it is told never to send that again. On a block
 * put together here it may be our picture of the live readings that is wrong, so the whole block
 * is asked for.
 */
function refuse(core: Core, pending: PendingBlock): void {
  const { meter, body } = pending
  const { first, last } = pending.block.statement
  const followers = withdraw(core, pending)
  countRefused(core, 'bad-signature')
  if (body === null) {
    reply(core, meter, { type: 'resend', from: first })
    return
  }
  refuseRange(core, meter, first, last, 'bad-signature')
  if (followers > 0) reply(core, meter, { type: 'resend', from: last + 1 })
}

function unjudged(core: Core, pending: PendingBlock): void {
  if (pending.state !== 'verifying') return
  const { meter } = pending
  withdraw(core, pending)
  countRefused(core, 'verifier-failed')
  reply(core, meter, { type: 'resend', from: meter.tip.number + 1 })
}

/** Tells the meter for good, and remembers that these numbers will not come any more. */
function refuseRange(core: Core, meter: Meter, first: number, last: number, code: string): void {
  if (last > meter.tip.number) meter.givenUpThrough = Math.max(meter.givenUpThrough, last)
  reply(core, meter, { type: 'refused', first, last, code })
  const detail = `block ${first} to ${last} was refused`
  core.events.add(code, meter.deviceId, wallS(core), detail)
}

/**
 * A block that contradicts what is durable. Only one the meter really signed is evidence of that;
 * anything else is a bad signature like every other.
 */
function judgeRefusal(core: Core, meter: Meter, block: Block, code: string): void {
  const { first, last } = block.statement
  if (isOverloaded(core, meter)) return countRefused(core, 'overload')
  core.inFlight += 1
  meter.checks += 1
  void judge(core, meter, block, (good) => {
    core.inFlight -= 1
    meter.checks -= 1
    if (good === null) return countRefused(core, 'verifier-failed')
    const reason = good ? code : 'bad-signature'
    countRefused(core, reason)
    refuseRange(core, meter, first, last, reason)
  })
}

/** What was lost before an unreadable report comes along with it again, one of so many times. */
const unreadableTries = 3

/**
 * A report that cannot be read: if nothing was lost on the way it is the block the meter has to send
 * next. So it is asked for from there on, and refused once nothing else comes in its place. How far it
 * reached is unknown: what is behind it is accepted when the meter's next hello says what it still holds.
 */
export function takeUnreadable(core: Core, meter: Meter, error: CodedError): void {
  const { code } = error
  const next = meter.tip.number + 1
  countRefused(core, code)
  const { unreadable } = meter
  const times = unreadable.next === next ? unreadable.times + 1 : 1
  meter.unreadable = { next, times }
  if (times < unreadableTries) return reply(core, meter, { type: 'resend', from: next })
  reply(core, meter, { type: 'refused', first: next, last: next, code })
  core.events.add(code, meter.deviceId, wallS(core), `a report at or after ${next} was unreadable`)
}
