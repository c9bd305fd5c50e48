import { EventEmitter } from 'node:events'
import { createResponder } from '#channel'
import type { Responder } from '#channel'
import { createCloud } from '#cloud'
import type { Cloud, CloudOutput, CloudStore } from '#cloud'
import { CLOCK_SLACK_S, createTrust, judgingTime } from '#credential'
import type { RevocationList } from '#credential'
import { nativeCrypto } from '#crypto-native'
import { codeOf, wordsOf } from '#errors'
import type { DeviceIdentity } from '#identity'
import { runResponder } from '#mqtt-link'
import type { LinkLog, ResponderLink } from '#mqtt-link'
import type { Clock, Random } from '#ports'

export interface DrainOptions {
  identity: DeviceIdentity
  store: CloudStore
  /** In force from the first handshake on. */
  revocations: RevocationList | null
  broker: { url: string; ca?: string; username?: string; password?: string }
  clock: Clock
  random: Random
  log: LinkLog & { error(data: object, message: string): void }
}

/** What is wrong: `detail` is for everyone; `words` name files and say what to do. */
export interface Problem {
  detail: string
  words: string
}

/** The running drain: fogs' sessions on one side, the store on the other. */
export interface Drain {
  readonly cloud: Cloud
  readonly responder: Responder
  /** Emits `stored` after each commit that changed something. */
  readonly changes: EventEmitter
  /** Null when all is well. */
  health(): Problem | null
  /** A list from the operator: honoured at once, passed on to every fog. */
  setRevocations(list: RevocationList): void
  /** Commits what waits, answers it, and leaves the broker. */
  close(): Promise<void>
}

/** Whatever goes wrong with one commit shows on /healthz until another works. */
interface State {
  link: ResponderLink | null
  timer: NodeJS.Timeout | undefined
  failure: { code: string; words: string } | null
  revocations: RevocationList | null
}

export function startDrain(options: DrainOptions): Drain {
  const { identity, store, clock, log } = options
  const { revocations } = options
  const state: State = { link: null, timer: undefined, failure: null, revocations }
  const changes = new EventEmitter().setMaxListeners(0)
  const trustAt = (now: () => number | null) =>
    createTrust({
      crypto: nativeCrypto,
      authorityKey: identity.authorityKey,
      now,
      slackS: CLOCK_SLACK_S,
      revocations: () => state.revocations,
    })
  // Evidence is judged without a clock, see `CloudOptions.trust`; devices that connect, with it.
  const cloud = createCloud({ crypto: nativeCrypto, clock, store, trust: trustAt(() => null) })
  if (revocations) cloud.setRevocations(revocations.encoded)
  const responder = createResponder({
    crypto: nativeCrypto,
    random: options.random,
    clock,
    own: {
      credential: identity.credential,
      key: nativeCrypto.signingKey(identity.signingSecret),
    },
    trust: trustAt(judgingTime(clock, identity.credential)),
    peerRole: 'fog',
    group: identity.credential.group,
  })

  function perform(outputs: readonly CloudOutput[]): void {
    for (const output of outputs) {
      if (output.type === 'send') state.link?.send(output.cid, output.payload)
      else if (output.type === 'drop') state.link?.drop(output.cid, output.code)
      else if (output.type === 'stored') {
        state.failure = null
        changes.emit('stored')
      } else {
        const { error } = output
        state.failure = { code: codeOf(error), words: wordsOf(error) }
        log.error({ ...state.failure, err: error }, 'could not store; the fog will send it again')
      }
    }
    schedule()
  }

  function schedule(): void {
    const at = cloud.nextTickAt()
    if (at === null || state.timer !== undefined) return
    state.timer = setTimeout(
      () => {
        state.timer = undefined
        perform(cloud.tick())
      },
      Math.max(0, at - clock.monotonic()),
    )
  }

  state.link = runResponder({
    ...options.broker,
    node: identity.deviceId,
    responder,
    clock,
    log,
    onOpen(cid, peer, rekey) {
      if (!rekey) log.info({ fog: peer.deviceId }, 'fog connected')
      perform(cloud.opened(cid, peer))
    },
    onMessage: (cid, peer, payload) => perform(cloud.received(cid, peer, payload)),
    onClosed(cid, peer, code) {
      if (peer) log.info({ fog: peer.deviceId, code }, 'fog disconnected')
      cloud.closed(cid)
    },
  })

  return {
    cloud,
    responder,
    changes,
    health: () => health(state),
    setRevocations(list) {
      state.revocations = list
      // First the sessions it ends, then the news to those that stay.
      state.link?.recheck()
      perform(cloud.setRevocations(list.encoded))
    },
    async close() {
      perform(cloud.flush())
      clearTimeout(state.timer)
      await state.link?.close()
    },
  }
}

function health({ link, failure }: State): Problem | null {
  if (failure !== null) {
    const begin = 'the last commit failed: '
    return { detail: begin + failure.code, words: begin + failure.words }
  }
  const detail = 'no connection to the broker'
  return link?.up ? null : { detail, words: detail }
}
