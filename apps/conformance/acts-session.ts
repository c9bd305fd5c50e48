import type { Seen } from './recording.ts'
import {
  greeted,
  isHello,
  isNewBlock,
  NO_BLOCK,
  NO_SESSION,
  reconnected,
  type Act,
} from './stage.ts'

/** How long the first welcome is held back. */
const WELCOME_MS = 1_500
const BLOCKS = 2
const LIVE = 3
/** How many records a direction may carry before new keys are due (libs/record). */
const REKEY_RECORDS = 2 ** 16

const isUp = (seen: Seen) => seen.type === 'up'

/** The first session, with a node that lets the meter wait for its welcome. */
export const opening: Act = {
  title: 'the first session',
  decides: ['hello/waits'],
  async run(stage) {
    const { node, verdicts, waitMs } = stage
    const { recording, script } = node
    script.welcome = 'withhold'
    stage.say(`waiting for a meter at ${node.url}, node "${node.name}"`)
    const hello = await recording.until(0, isUp, waitMs)
    if (hello === null) return
    await recording.until(recording.mark(), () => false, Math.min(WELCOME_MS, stage.quietMs))
    script.welcome = 'answer'
    if (node.channel !== null) node.messages?.welcome(node.channel)
    if (!verdicts.failed('hello/waits')) verdicts.pass('hello/waits')
  },
}

/** Long enough to see readings and blocks as they come. */
export const readings: Act = {
  title: 'readings and blocks',
  decides: [],
  async run(stage) {
    const { node, verdicts, waitMs } = stage
    if ((await greeted(stage)) === null) return
    const { recording } = node
    let [blocks, live] = [0, 0]
    const enough = (seen: Seen) => {
      if (isNewBlock(seen)) blocks += 1
      if (seen.type === 'up' && seen.message.type === 'live') live += 1
      return blocks > BLOCKS || (blocks === BLOCKS && live >= LIVE)
    }
    stage.say(`waiting for ${BLOCKS} signed blocks`)
    await recording.until(0, enough, waitMs)
    const silent = 'no live readings came; a meter may send blocks only'
    for (const id of ['reading/live', 'size/live']) verdicts.unseen(id, silent)
    if (blocks === 0)
      for (const id of ['block/form', 'block/numbers']) verdicts.unseen(id, NO_BLOCK)
  },
}

/** "Unknown session", as a node says after it was restarted. */
export const unknownSession: Act = {
  title: 'unknown session',
  decides: ['session/unknown'],
  async run(stage) {
    const { node, verdicts, waitMs } = stage
    const session = await greeted(stage)
    if (session === null) return verdicts.unseen('session/unknown', NO_SESSION)
    const { channel, messages } = session
    const { recording } = node
    const mark = recording.mark()
    stage.say('the node says that it knows no session')
    node.sayUnknown(channel)
    const opened = await recording.until(
      mark,
      (seen) => seen.type === 'session' || (seen.type === 'gone' && seen.cid === channel.cid),
      waitMs,
    )
    if (opened?.type === 'session') messages.greetsFrom(opened.epoch)
    const hello = opened?.type === 'session' ? await recording.until(mark, isHello, waitMs) : null
    verdicts.judge('session/unknown', hello !== null, () => ({
      expected: 'message_1 for the next epoch on the same channel, and hello in the new session',
      came: cameInstead(opened),
    }))
  },
}

function cameInstead(opened: Seen | null): string {
  if (opened === null) return 'no handshake'
  return opened.type === 'gone' ? 'the connection ended' : 'a session without hello'
}

/** Keys that are used up: our next record has the last counter before that. */
export const rekeying: Act = {
  title: 'new keys',
  decides: ['record/rekey', 'record/epoch'],
  async run(stage) {
    const { node, verdicts, waitMs } = stage
    const session = await greeted(stage)
    if (session === null) {
      for (const id of rekeying.decides) verdicts.unseen(id, NO_SESSION)
      return
    }
    const { channel, messages } = session
    const { recording } = node
    const mark = recording.mark()
    stage.say('the keys are used up')
    messages.lastRecord(channel, REKEY_RECORDS - 1)
    const opened = await recording.until(mark, (seen) => seen.type === 'session', waitMs)
    const right = opened?.type === 'session' && opened.cid === channel.cid
    verdicts.judge('record/rekey', right, () => ({
      expected: `a new handshake after a record with counter ${REKEY_RECORDS - 1}`,
      came: opened === null ? `none within ${waitMs / 1_000} s` : 'a new connection',
    }))
    if (opened?.type !== 'session' || !right) {
      return verdicts.unseen('record/epoch', 'there was no new epoch')
    }
    // What was sealed before message_4 arrived still has the old number.
    const isNew = (seen: Seen) => seen.type === 'record' && seen.epoch === opened.epoch
    const record = await recording.until(mark, isNew, waitMs)
    verdicts.judge('record/epoch', record !== null, () => ({
      expected: `records of epoch ${opened.epoch}`,
      came: `none within ${waitMs / 1_000} s`,
    }))
  },
}

/** After everything, a good node once more. */
export const recovery: Act = {
  title: 'the genuine node again',
  decides: ['session/recovers'],
  async run(stage) {
    const session = await reconnected(stage)
    stage.verdicts.judge('session/recovers', session !== null, () => ({
      expected: 'a session with the genuine node',
      came: `none within ${stage.waitMs / 1_000} s`,
    }))
  },
}
