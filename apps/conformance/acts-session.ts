import type { Seen } from './recording.ts'
import {
  greeted,
  isNewBlock,
  nextMessage1,
  NO_BLOCK,
  NO_SESSION,
  reconnected,
  type Act,
  type Stage,
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

/** Messages held back and doubled. */
export const retransmission: Act = {
  title: 'message_2 and message_4 held back, then sent twice',
  decides: [
    'message-4/awaited',
    'retransmit/message-1',
    'retransmit/message-3',
    'retransmit/duplicates',
  ],
  async run(stage) {
    const { script } = stage.node
    script.message2 = 'withhold'
    script.message4 = 'withhold'
    try {
      await held(stage)
    } finally {
      script.message2 = 'answer'
      script.message4 = 'answer'
    }
  },
}

async function held(stage: Stage): Promise<void> {
  const { node, verdicts, waitMs, quietMs } = stage
  const { recording, script } = node
  const mark = recording.mark()
  const channel = await nextMessage1(stage)
  const all = retransmission.decides
  if (channel === null) return all.forEach((id) => verdicts.unseen(id, NO_SESSION))
  const mine = (type: Seen['type'], again: boolean) => (seen: Seen) =>
    seen.type === type && 'again' in seen && seen.again === again && seen.cid === channel.cid
  const differs = (seen: Seen) => mine('message-1', false)(seen) || seen.type === 'gone'
  const first = recording.mark()
  stage.say('message_2 is held back')
  script.message2 = 'twice' // in answer to the next message_1, which has to be the same
  const again = await recording.until(
    first,
    (seen) => mine('message-1', true)(seen) || differs(seen),
    waitMs,
  )
  const same = again?.type === 'message-1' && again.again
  verdicts.judge('retransmit/message-1', same, () => ({
    expected: 'the bytes of message_1 once more, on the same channel',
    came: again === null ? `nothing within ${waitMs / 1_000} s` : described(again),
  }))
  const third = await recording.until(mark, mine('message-3', false), same ? waitMs : 0)
  if (third === null) {
    const missing = 'there was no message_3 on that channel'
    for (const id of all.slice(2)) verdicts.unseen(id, missing)
    verdicts.unseen('message-4/awaited', missing)
    return
  }
  await withoutMessage4(stage, channel.cid)
  stage.say('message_4 is held back')
  const before = recording.mark()
  const repeated = await recording.until(
    mark,
    (seen) => mine('message-3', true)(seen) || (seen.type === 'gone' && seen.cid === channel.cid),
    waitMs,
  )
  verdicts.judge('retransmit/message-3', repeated?.type === 'message-3', () => ({
    expected: 'the bytes of message_3 once more, on the same channel',
    came: repeated === null ? `nothing within ${waitMs / 1_000} s` : described(repeated),
  }))
  if (repeated?.type !== 'message-3') return
  script.message4 = 'twice'
  stage.say('message_4 comes twice')
  const hello = await recording.until(before, isUp, Math.max(quietMs, 10_000))
  verdicts.judge('retransmit/duplicates', hello !== null, () => ({
    expected: 'a session, and hello in it',
    came: 'none after message_2 and message_4 had arrived twice',
  }))
}

/** Records under keys that message_4 has not confirmed would be sealed for nobody. */
async function withoutMessage4({ node, verdicts, quietMs }: Stage, cid: string): Promise<void> {
  const { recording } = node
  const isRecord = (seen: Seen) => seen.type === 'record' && seen.cid === cid
  const record = await recording.until(recording.mark(), isRecord, quietMs)
  verdicts.judge('message-4/awaited', record === null, () => ({
    expected: 'message_3 again and nothing else until message_4 has come',
    came: 'a record',
  }))
}

function described(seen: Seen): string {
  if (seen.type === 'gone') return 'the connection ended'
  return seen.type === 'message-1' ? 'another message_1' : seen.type
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
    const isHello = (seen: Seen) => seen.type === 'up' && seen.message.type === 'hello'
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
