import { toBase64Url } from '#bytes'
import {
  Backoff,
  createInitiator,
  type ChannelDependencies,
  type Initiator,
  type Output,
} from '#channel'
import { defaults } from '#defaults'
import type { DeviceClock } from './clock.ts'
import type { Engine } from './engine.ts'
import type { Broker, Connection } from './network.ts'

export interface Target {
  node: string
  broker: Broker
}

export interface InitiatorLinkOptions extends Omit<ChannelDependencies, 'clock'> {
  engine: Engine
  clock: DeviceClock
  targets: readonly Target[]
  /** False once the process is dead: nothing of it may act any more. */
  alive(): boolean
  /** Runs a callback of the process, whatever it throws. */
  run(work: () => void): void
  onOpen(rekey: boolean): void
  onMessage(payload: Uint8Array): void
  onClosed(code: string, retry: boolean): void
}

export interface SimInitiatorLink {
  readonly state: 'waiting' | 'connecting' | 'open' | 'closed'
  readonly node: string
  send(payload: Uint8Array): boolean
  reconnect(code: string): void
  close(): void
}

/** What `runInitiator` of #mqtt-link does, over a simulated broker and virtual time. */
export function runSimInitiator(options: InitiatorLinkOptions): SimInitiatorLink {
  const { engine, clock, targets } = options
  const backoff = new Backoff(defaults.backoff, options.random)
  let state: SimInitiatorLink['state'] = 'waiting'
  let target = 0
  let initiator: Initiator | null = null
  let connection: Connection<[Uint8Array]> | null = null
  let armedForMs = Infinity
  /** Timers of an earlier arming or connection do nothing. */
  let timer = 0

  const here = () => targets[target % targets.length]!

  function wake(trueMs: number, work: () => void): void {
    const mine = ++timer
    engine.after(trueMs, () => {
      if (mine === timer && options.alive()) options.run(work)
    })
  }

  function connect(): void {
    const { node, broker } = here()
    const channelId = toBase64Url(options.random(6))
    const mine = createInitiator({ ...options, clock, node, channelId })
    initiator = mine
    state = 'connecting'
    const current = () => initiator === mine && options.alive()
    const owner = options.own.credential.deviceId
    connection = broker.connectClient(owner, channelId, {
      up: () => {
        if (current()) options.run(() => perform(mine, mine.start()))
      },
      message: (frame) => {
        if (current()) options.run(() => perform(mine, mine.receive(frame)))
      },
      down: () => {
        if (current()) options.run(() => ended(mine, 'mqtt-link/disconnected', true))
      },
    })
  }

  function perform(mine: Initiator, outputs: readonly Output[]): void {
    for (const output of outputs) {
      if (initiator !== mine || !options.alive()) return
      if (output.type === 'frame') connection?.publish(output.bytes)
      else if (output.type === 'message') options.onMessage(output.payload)
      else if (output.type === 'closed') return ended(mine, output.code, output.retry)
      else {
        state = 'open'
        backoff.reset()
        arm(mine)
        options.onOpen(output.rekey)
      }
    }
    arm(mine)
  }

  function arm(mine: Initiator): void {
    if (initiator !== mine || mine.nextTickAt === armedForMs) return
    armedForMs = mine.nextTickAt
    if (armedForMs === Infinity) {
      timer += 1
      return
    }
    const waitMs = Math.max(0, armedForMs - clock.monotonic())
    wake(Math.ceil(clock.trueDelay(waitMs)) + 1, () => {
      armedForMs = Infinity
      if (initiator === mine) perform(mine, mine.tick())
    })
  }

  function forget(): void {
    initiator?.close()
    connection?.close()
    initiator = null
    connection = null
    armedForMs = Infinity
    timer += 1
  }

  function ended(mine: Initiator, code: string, retry: boolean): void {
    if (initiator !== mine || state === 'closed') return
    if (state !== 'open') target += 1
    state = 'waiting'
    forget()
    wake(clock.trueDelay(retry ? backoff.next() : backoff.longest()), connect)
    options.onClosed(code, retry)
  }

  wake(0, connect)
  return {
    get state() {
      return state
    },
    get node() {
      return here().node
    },
    send(payload) {
      const mine = initiator
      if (mine === null || state !== 'open' || !options.alive()) return false
      try {
        const sent = connection?.publish(mine.send(payload)) ?? false
        arm(mine)
        return sent
      } catch {
        arm(mine)
        return false
      }
    },
    reconnect(code) {
      target += 1
      if (initiator !== null) ended(initiator, code, true)
    },
    close() {
      state = 'closed'
      forget()
    },
  }
}
