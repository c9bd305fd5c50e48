import type { Seen } from './recording.ts'
import {
  greeted,
  isOldBlock,
  NO_BLOCK,
  NO_SESSION,
  reconnected,
  settle,
  unreceipted,
  type Act,
  type Session,
  type Stage,
} from './stage.ts'

/** How long a meter may take to send again what it was asked for. */
const ANSWER_MS = 15_000
/** Above everything the meter can have sent. */
const FAR_AHEAD = 1_000
const REFUSAL = 'conformance/refused'

type Block = Seen & { type: 'block' }

/** Waits for a session and a block in it that has no receipt; says why there is none. */
async function waitingBlock(
  stage: Stage,
  ids: readonly string[],
): Promise<{ session: Session; block: Block } | null> {
  const session = await greeted(stage)
  stage.say('waiting for a signed block, which gets no receipt')
  const block = session === null ? null : await unreceipted(stage)
  if (session !== null && block !== null) return { session, block }
  for (const id of ids) stage.verdicts.unseen(id, session === null ? NO_SESSION : NO_BLOCK)
  return null
}

const isAgain = (block: Block) => (seen: Seen) =>
  isOldBlock(seen) && 'last' in seen && seen.last === block.last

/** No receipt, then a new connection; resend; and two records that must not count. */
export const withoutReceipt: Act = {
  title: 'no receipt',
  decides: [
    'receipts/resends',
    'receipts/same-bytes',
    'resend/again',
    'attack/flipped-bit',
    'attack/replay',
  ],
  async run(stage) {
    const found = await waitingBlock(stage, withoutReceipt.decides)
    if (found === null) return
    await resends(stage, found.block)
    await asked(stage, found.block)
    settle(stage)
  },
}

async function resends(stage: Stage, block: Block): Promise<void> {
  const { node, verdicts } = stage
  const mark = node.recording.mark()
  if ((await reconnected(stage)) === null) return verdicts.unseen('receipts/resends', NO_SESSION)
  const again = await node.recording.until(mark, isAgain(block), ANSWER_MS)
  verdicts.judge('receipts/resends', again !== null, () => ({
    expected: `block ${block.first} to ${block.last} again, for which there was no receipt`,
    came: `not within ${ANSWER_MS / 1_000} s of the welcome`,
  }))
  verdicts.unseen('receipts/same-bytes', 'no block came again')
}

/** A genuine `resend` shows what the two that are not genuine would do. */
async function asked(stage: Stage, block: Block): Promise<void> {
  const { node, verdicts, quietMs } = stage
  const { recording } = node
  const session = await greeted(stage)
  if (session === null) {
    for (const id of withoutReceipt.decides.slice(2)) verdicts.unseen(id, NO_SESSION)
    return
  }
  const { channel, messages } = session
  const mark = recording.mark()
  stage.say('the node asks for the block again')
  const frame = messages.resend(channel, block.first)
  const again = await recording.until(mark, isAgain(block), ANSWER_MS)
  verdicts.judge('resend/again', again !== null, () => ({
    expected: `block ${block.first} to ${block.last} after resend ${block.first}`,
    came: `not within ${ANSWER_MS / 1_000} s`,
  }))
  if (again === null || frame === null) {
    const reason = 'the meter answers no resend, so nothing would show'
    for (const id of ['attack/flipped-bit', 'attack/replay']) verdicts.unseen(id, reason)
    return
  }
  // What the genuine resend asked for may still be on its way.
  await recording.until(recording.mark(), () => false, quietMs / 2)
  await ignored(stage, block, 'attack/replay', 'the record that asked for it, once more', () =>
    node.publishFrame(channel, frame),
  )
  await ignored(
    stage,
    block,
    'attack/flipped-bit',
    'a record with one bit of its tag changed',
    () => messages.forgedResend(channel, block.first),
  )
}

async function ignored(
  stage: Stage,
  block: Block,
  id: string,
  what: string,
  attack: () => void,
): Promise<void> {
  const { node, verdicts, quietMs } = stage
  const { recording } = node
  const mark = recording.mark()
  stage.say(what)
  attack()
  const again = await recording.until(mark, isAgain(block), quietMs)
  verdicts.judge(id, again === null, () => ({
    expected: 'no reaction',
    came: `block ${block.first} to ${block.last} again: the meter acted on ${what}`,
  }))
}

/** A receipt for what was never sent must not make a meter forget what was. */
export const futureReceipt: Act = {
  title: 'a receipt from the future',
  decides: ['attack/future-receipt'],
  async run(stage) {
    const { node, verdicts } = stage
    const [id = ''] = futureReceipt.decides
    if (verdicts.failed('receipts/resends'))
      return verdicts.unseen(id, 'the meter forgets without any receipt (receipts/resends)')
    const found = await waitingBlock(stage, futureReceipt.decides)
    if (found === null) return
    const { session, block } = found
    const durable = session.messages.blocks.last + FAR_AHEAD
    stage.say(`a receipt up to ${durable}`)
    node.say(session.channel, { type: 'receipt', durable })
    await node.recording.until(node.recording.mark(), () => false, stage.quietMs / 2)
    const mark = node.recording.mark()
    const next = await reconnected(stage)
    if (next === null) verdicts.unseen(id, NO_SESSION)
    else {
      const again = await node.recording.until(mark, isAgain(block), ANSWER_MS)
      verdicts.judge(id, again !== null, () => ({
        expected: `block ${block.first} to ${block.last} again: nothing up to ${durable} was sent`,
        came: 'the block did not come again',
      }))
    }
    settle(stage)
  },
}

/** A block the node will never accept. */
export const refusal: Act = {
  title: 'a refused block',
  decides: ['refused/goes-on', 'refused/never-again'],
  async run(stage) {
    const { node, verdicts, waitMs } = stage
    const found = await waitingBlock(stage, refusal.decides)
    if (found === null) return
    const { session, block } = found
    const { first, last } = block
    const { recording } = node
    const mark = recording.mark()
    const counts = session.messages.refuse(first, last)
    if (!counts) verdicts.unseen('refused/never-again', 'the node had to ask for that block again')
    stage.say(`block ${first} to ${last} is refused`)
    node.say(session.channel, { type: 'refused', first, last, code: REFUSAL })
    const isNext = (seen: Seen) => seen.type === 'block' && seen.last > last
    const next = await recording.until(mark, isNext, waitMs)
    verdicts.judge('refused/goes-on', next !== null, () => ({
      expected: `the block after ${last}`,
      came: `none within ${waitMs / 1_000} s`,
    }))
    const again = await reconnected(stage)
    if (again === null) verdicts.unseen('refused/never-again', NO_SESSION)
    else await recording.until(recording.mark(), isNext, ANSWER_MS)
    settle(stage)
  },
}
