import type { OwnCredential } from '#edhoc'
import type { Channel } from './channel.ts'
import type { MessageJudge } from './judge-messages.ts'
import type { PlayedNode } from './node.ts'
import type { Seen } from './recording.ts'
import type { Verdicts } from './verdicts.ts'

export interface Patience {
  /** How long a clause waits for the meter to do something. */
  readonly waitMs: number
  /** How long the meter has to do nothing, where nothing is what it must do. */
  readonly quietMs: number
}

/** Somebody message_2 may present who must not be believed; null where the files for it are missing. */
export interface Impostors {
  readonly wrongKey: OwnCredential
  readonly untrusted: OwnCredential
  readonly wrongRole: OwnCredential | null
  readonly wrongName: OwnCredential | null
  readonly expired: OwnCredential | null
  /** Who is revoked, and the signed list that says so. */
  readonly revoked: { readonly own: OwnCredential; readonly list: Uint8Array } | null
}

/** What an act works with. */
export interface Stage extends Patience {
  readonly node: PlayedNode
  readonly verdicts: Verdicts
  readonly impostors: Impostors
  /** Progress, for a person. */
  say(text: string): void
}

/** One thing the node does to the meter, and the clauses it decides. */
export interface Act {
  readonly title: string
  /** Clauses only this act can decide. */
  readonly decides: readonly string[]
  run(stage: Stage): Promise<void>
}

/** A session that is open and greeted. */
export interface Session {
  readonly channel: Channel
  readonly messages: MessageJudge
}

export const isHello = (seen: Seen) => seen.type === 'up' && seen.message.type === 'hello'

/** The present session, or the next one the meter opens; null when it opens none in time. */
export async function greeted(stage: Stage): Promise<Session | null> {
  const { node, waitMs } = stage
  const present = sessionOf(node)
  if (present !== null) return present
  stage.say('waiting for the meter to connect; restarting it does no harm')
  const found = await node.recording.until(node.recording.mark(), isHello, waitMs)
  return found === null ? null : sessionOf(node)
}

function sessionOf({ channel, messages }: PlayedNode): Session | null {
  if (channel === null || messages === null || !messages.welcomed) return null
  return { channel, messages }
}

/** Cuts the connection and waits for what the meter does first on the next one. */
export async function nextMessage1(stage: Stage): Promise<Channel | null> {
  const { node, waitMs } = stage
  node.cut()
  stage.say('waiting for the meter to connect; restarting it does no harm')
  const mark = node.recording.mark()
  const gone = node.channel?.cid
  const fits = (seen: Seen) => seen.type === 'message-1' && seen.cid !== gone
  const found = await node.recording.until(mark, fits, waitMs)
  return found === null ? null : node.channel
}

/** Cuts the connection and opens a session like any other; null when the meter opens none in time. */
export async function reconnected(stage: Stage): Promise<Session | null> {
  const { node, waitMs } = stage
  node.cut()
  const gone = node.channel?.cid
  stage.say('waiting for the meter to connect; restarting it does no harm')
  const fits = (seen: Seen) => isHello(seen) && 'cid' in seen && seen.cid !== gone
  const found = await node.recording.until(node.recording.mark(), fits, waitMs)
  return found === null ? null : sessionOf(node)
}

export const isNewBlock = (seen: Seen) => seen.type === 'block' && !seen.again
export const isOldBlock = (seen: Seen) => seen.type === 'block' && seen.again

/** A signed block that has no receipt yet: waits for a new one, without giving receipts. */
export async function unreceipted(stage: Stage): Promise<(Seen & { type: 'block' }) | null> {
  const { node, waitMs } = stage
  node.script.receipts = 'withhold'
  const found = await node.recording.until(node.recording.mark(), isNewBlock, waitMs)
  return found?.type === 'block' ? found : null
}

/** Receipts everything there is, and goes on doing so. */
export function settle({ node }: Stage): void {
  node.script.receipts = 'send'
  const { channel, messages } = node
  if (channel !== null && messages?.welcomed) messages.receipt(channel, messages.blocks.last)
}

export const NO_SESSION = 'the meter opened no session in time'
export const NO_BLOCK = 'the meter signed no block in time'
