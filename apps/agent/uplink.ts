import { readFileSync } from 'node:fs'
import type { Identity } from '#channel'
import type { AgentConfig } from '#config'
import type { Trust } from '#credential'
import { nativeCrypto } from '#crypto-native'
import { codeOf, CodedError } from '#errors'
import { createUplink, type Fog, type Receipts, type Uplink } from '#fog'
import { runInitiator, type InitiatorLink, type Target } from '#mqtt-link'
import { systemClock, systemRandom, type Logger } from '#service'
import type { Outbox } from '#delivery'

/** How often the outbox is looked at for new items, ms. */
const tickMs = 200

export interface UplinkOptions {
  cloud: AgentConfig['cloud']
  own: Identity
  trust: Trust
  outbox: Outbox
  receipts: Receipts
  fog: Pick<Fog, 'forgotten' | 'sendAgain' | 'yieldWindow'>
  /** Of the store the outbox is in. */
  store: number
  log: Logger
  onRevocations(list: Uint8Array): void
  onWithdraw(deviceId: string, first: number, through: number): void
  credentialOf(deviceId: string): Uint8Array | null
}

/** The running link to the cloud. */
export interface RunningUplink {
  state(): InitiatorLink['state']
  /** Cloud node in use or tried next. */
  node(): string
  counters: Uplink['counters']
  close(): Promise<void>
}

/** Connects to the configured cloud nodes in turn, and stays with one that answers. */
export function startUplink(options: UplinkOptions): RunningUplink | null {
  const { cloud, fog, log } = options
  const [first, ...alternatives] = cloud.map(targetOf)
  if (first === undefined) return null
  const uplink = createUplink({
    outbox: options.outbox,
    receipts: options.receipts,
    store: options.store,
    clock: systemClock,
    crypto: nativeCrypto,
    onRevocations: (list) => options.onRevocations(list),
    credentialOf: (deviceId) => options.credentialOf(deviceId),
    onSuperseded: () => link.superseded(),
    onSetBack(setBack) {
      log.warn(setBack, 'the cloud has forgotten what it acknowledged; sending it again')
      fog.sendAgain(setBack)
    },
    onWindowConflict: (startS) => fog.yieldWindow(startS),
    onWithdraw: (deviceId, from, through) => {
      log.warn({ meter: deviceId, from, through }, 'another node counts these readings too')
      options.onWithdraw(deviceId, from, through)
    },
    onEvent: (event) => {
      if (event.type === 'refused') log.warn(event, 'the cloud refused items')
      if (event.type === 'raised') {
        log.warn(event, 'the cloud has items that this store has forgotten: it was set back')
        fog.forgotten(event)
      }
    },
  })
  /** What the socket had no room for; a closed channel makes it worthless. */
  let unsent: Uint8Array[] = []
  const send = (payloads: readonly Uint8Array[]) => {
    unsent.push(...payloads)
    while (unsent[0] !== undefined && link.send(unsent[0])) unsent.shift()
  }
  const link: InitiatorLink = runInitiator({
    ...first,
    ...passwordOf(cloud),
    alternatives,
    crypto: nativeCrypto,
    random: systemRandom,
    clock: systemClock,
    own: options.own,
    trust: options.trust,
    peerRole: 'cloud',
    group: options.own.credential.group,
    log,
    onOpen: (peer, rekey) => {
      if (rekey) return
      log.info({ cloud: peer.deviceId }, 'connected to the cloud')
      unsent = []
      send(uplink.onOpen(peer.deviceId))
    },
    onMessage: (payload) => send(answer(uplink, payload, log)),
    onDrain: () => send([]),
    onClosed: () => {
      unsent = []
      uplink.onClosed()
    },
  })
  const timer = setInterval(() => {
    if (unsent.length === 0) send(uplink.tick())
    if (uplink.needsReconnect()) link.reconnect('uplink/silent')
  }, tickMs)
  return {
    state: () => link.state,
    node: () => link.target?.node ?? first.node,
    counters: uplink.counters,
    close: () => {
      clearInterval(timer)
      return link.close()
    },
  }
}

function answer(uplink: Uplink, payload: Uint8Array, log: Logger): Uint8Array[] {
  try {
    return uplink.onMessage(payload)
  } catch (error) {
    log.warn({ code: codeOf(error), err: error }, 'a message from the cloud could not be used')
    return []
  }
}

function targetOf({ node, url, ca }: AgentConfig['cloud'][number]): Target {
  return ca === undefined ? { node, url } : { node, url, ca }
}

/** One name and password serve all listed brokers: they are the doors of one cluster. */
function passwordOf(cloud: AgentConfig['cloud']): { username?: string; password?: string } {
  const entry = cloud.find(({ username }) => username !== undefined)
  if (entry?.username === undefined) return {}
  const { username, passwordFile } = entry
  return passwordFile === undefined ? { username } : { username, password: read(passwordFile) }
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    const reason = error instanceof Error ? error.message : path
    throw new CodedError('agent/no-password', `cloud.password_file: ${reason}`, { cause: error })
  }
}
