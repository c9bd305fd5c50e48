import type { Channel } from './channel.ts'
import type { Seen } from './recording.ts'
import { isHello, nextMessage1, NO_SESSION, type Act, type Stage } from './stage.ts'

const isEnd = (seen: Seen) => seen.type === 'gone'
const isMessage1OrEnd = (seen: Seen) => seen.type === 'message-1' || isEnd(seen)
const isMessage3OrEnd = (seen: Seen) => seen.type === 'message-3' || isEnd(seen)
const isRepeatOrEnd = (seen: Seen) => (seen.type === 'message-3' && seen.again) || isEnd(seen)
const isHelloOrEnd = (seen: Seen) => isHello(seen) || isEnd(seen)
const isRecord = (seen: Seen) => seen.type === 'record'

/** message_2 only in answer to the second message_1; then it comes twice, and so does message_4. */
export const heldMessage2: Act = {
  title: 'message_2 held back, then sent twice',
  decides: ['retransmit/message-1', 'retransmit/duplicates'],
  async run(stage) {
    const { node, verdicts } = stage
    const { script } = node
    script.message2 = 'withhold'
    script.message4 = 'twice'
    try {
      const channel = await nextMessage1(stage)
      if (channel === null) {
        for (const id of heldMessage2.decides) verdicts.unseen(id, NO_SESSION)
      } else if (await repeatsMessage1(stage, channel)) await bearsDuplicates(stage, channel)
      else verdicts.unseen('retransmit/duplicates', 'there was no handshake in which to see it')
    } finally {
      script.message2 = 'answer'
      script.message4 = 'answer'
    }
  },
}

async function repeatsMessage1(stage: Stage, channel: Channel): Promise<boolean> {
  const { node, verdicts } = stage
  const mark = node.recording.mark()
  node.script.message2 = 'twice' // in answer to the next message_1, which has to be the same
  const seen = await ofChannel(stage, channel, mark, isMessage1OrEnd)
  const same = seen?.type === 'message-1' && seen.again
  verdicts.judge('retransmit/message-1', same, () => ({
    expected: 'the bytes of message_1 once more, on the same channel',
    came: described(stage, seen),
  }))
  return same
}

async function bearsDuplicates(stage: Stage, channel: Channel): Promise<void> {
  stage.say('message_2 and message_4 come twice')
  const mark = stage.node.recording.mark()
  const seen = await ofChannel(stage, channel, mark, isHelloOrEnd)
  stage.verdicts.judge('retransmit/duplicates', seen?.type === 'up', () => ({
    expected: 'a session, and hello in it',
    came: described(stage, seen),
  }))
}

/** message_4 only after the meter has waited for it, and has asked again. */
export const heldMessage4: Act = {
  title: 'message_4 held back',
  decides: ['message-4/awaited', 'retransmit/message-3'],
  async run(stage) {
    const { node, verdicts } = stage
    const { script } = node
    script.message4 = 'withhold'
    try {
      const channel = await nextMessage1(stage)
      const third = channel && (await ofChannel(stage, channel, 0, isMessage3OrEnd))
      if (channel === null || third?.type !== 'message-3') {
        for (const id of heldMessage4.decides) verdicts.unseen(id, NO_SESSION)
      } else await withoutMessage4(stage, channel)
    } finally {
      script.message4 = 'answer'
    }
  },
}

/** Records under keys that message_4 has not confirmed would be sealed for nobody. */
async function withoutMessage4(stage: Stage, channel: Channel): Promise<void> {
  const { verdicts, quietMs } = stage
  const record = await ofChannel(stage, channel, 0, isRecord, quietMs)
  verdicts.judge('message-4/awaited', record === null, () => ({
    expected: 'message_3 again and nothing else until message_4 has come',
    came: 'a record',
  }))
  const seen = await ofChannel(stage, channel, 0, isRepeatOrEnd)
  verdicts.judge('retransmit/message-3', seen?.type === 'message-3', () => ({
    expected: 'the bytes of message_3 once more, on the same channel',
    came: described(stage, seen),
  }))
}

/** The first thing of one channel that fits. */
function ofChannel(
  { node, waitMs }: Stage,
  { cid }: Channel,
  mark: number,
  fits: (seen: Seen) => boolean,
  ms = waitMs,
): Promise<Seen | null> {
  return node.recording.until(mark, (seen) => seen.cid === cid && fits(seen), ms)
}

function described({ waitMs }: Stage, seen: Seen | null): string {
  if (seen === null) return `nothing within ${waitMs / 1_000} s`
  if (seen.type === 'gone') return 'the end of the connection'
  return seen.type === 'message-1' ? 'another message_1' : seen.type
}
