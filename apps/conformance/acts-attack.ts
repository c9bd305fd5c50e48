import type { OwnCredential } from '#edhoc'
import { timeQuality } from '#reading'
import type { Seen } from './recording.ts'
import { greeted, nextMessage1, NO_SESSION, type Act, type Impostors, type Stage } from './stage.ts'

const NEEDS_AUTHORITY = 'needs the key of the authority: --authority DIR'

/** A message_4 that is not the responder's. */
export const wrongMessage4: Act = {
  title: 'a message_4 that does not verify',
  decides: ['attack/message-4-wrong'],
  async run(stage) {
    const { node, verdicts, waitMs, quietMs } = stage
    const [id = ''] = wrongMessage4.decides
    const { recording, script } = node
    script.message4 = 'wrong'
    try {
      const mark = recording.mark()
      const channel = await nextMessage1(stage)
      const isSession = (seen: Seen) => seen.type === 'session' && seen.cid === channel?.cid
      const reached = channel && (await recording.until(mark, isSession, waitMs))
      if (!reached) return verdicts.unseen(id, NO_SESSION)
      const isRecord = (seen: Seen) => seen.type === 'record' && seen.cid === channel.cid
      const record = await recording.until(mark, isRecord, quietMs)
      verdicts.judge(id, record === null, () => ({
        expected: 'no record on that channel',
        came: 'a record, sealed for somebody who has not shown that he has the keys',
      }))
    } finally {
      script.message4 = 'answer'
    }
  },
}

const whoIs: readonly (readonly [
  id: string,
  title: string,
  who: (impostors: Impostors) => OwnCredential | null,
])[] = [
  ['attack/wrong-key', 'another key', ({ wrongKey }) => wrongKey],
  ['attack/untrusted', 'a credential of another authority', ({ untrusted }) => untrusted],
  ['attack/wrong-role', 'the credential of a meter', ({ wrongRole }) => wrongRole],
  ['attack/wrong-name', 'the credential of another node', ({ wrongName }) => wrongName],
  ['attack/expired', 'a credential that has ended', ({ expired }) => expired],
  ['attack/revoked', 'a revoked credential', ({ revoked }) => revoked?.own ?? null],
]

/** message_2 from somebody who must not be believed, one act each. */
export const impostures: readonly Act[] = whoIs.map(([id, title, who]) => ({
  title: `message_2 with ${title}`,
  decides: [id],
  async run(stage: Stage) {
    const own = who(stage.impostors)
    if (own === null) return stage.verdicts.unseen(id, NEEDS_AUTHORITY)
    if (id === 'attack/expired' && !knowsTime(stage)) {
      return stage.verdicts.unseen(id, 'the meter says that it does not know the time')
    }
    if (id === 'attack/revoked' && !(await listSent(stage)))
      return stage.verdicts.unseen(id, NO_SESSION)
    await present(stage, id, own)
  },
}))

function knowsTime({ node }: Stage): boolean {
  return node.messages?.readings.timeQuality !== timeQuality.unknown
}

/** The meter must have heard of the revocation: in a genuine session. */
async function listSent(stage: Stage): Promise<boolean> {
  const session = await greeted(stage)
  const list = stage.impostors.revoked?.list
  if (session === null || list === undefined) return false
  stage.node.say(session.channel, { type: 'revocations', list })
  await stage.node.recording.until(stage.node.recording.mark(), () => false, stage.quietMs)
  return true
}

async function present(stage: Stage, id: string, own: OwnCredential): Promise<void> {
  const { node, verdicts, quietMs } = stage
  const { recording, script } = node
  script.own = own
  try {
    const mark = recording.mark()
    const channel = await nextMessage1(stage)
    if (channel === null) return verdicts.unseen(id, NO_SESSION)
    const believes = (seen: Seen) =>
      (seen.type === 'message-3' || seen.type === 'record') && seen.cid === channel.cid
    const seen = await recording.until(mark, believes, quietMs)
    verdicts.judge(id, seen === null, () => ({
      expected: 'no message_3: the handshake is over',
      came: seen?.type === 'record' ? 'records' : 'message_3',
    }))
  } finally {
    script.own = node.own
    // Whatever comes of this handshake belongs to the impostor.
    node.cut()
  }
}
