import type { Credential } from '#credential'
import { Backoff, type Responder, type ResponderOutput } from '#channel'
import { defaults } from '#defaults'
import type { Random } from '#ports'
import type { DeviceClock } from './clock.ts'
import type { Engine } from './engine.ts'
import type { Broker, Connection } from './network.ts'

export interface ResponderLinkOptions {
  engine: Engine
  clock: DeviceClock
  random: Random
  broker: Broker
  responder: Responder
  alive(): boolean
  run(work: () => void): void
  onOpen(cid: string, peer: Credential, rekey: boolean): void
  onMessage(cid: string, peer: Credential, payload: Uint8Array): void
  onClosed(cid: string, peer: Credential | null, code: string): void
  /** A frame that was opened, for those who watch that none opens twice. */
  onOpened(cid: string, frame: Uint8Array): void
}

export interface SimResponderLink {
  send(cid: string, payload: Uint8Array): boolean
  drop(cid: string, code: string): void
  close(): void
}

/** Real responders tick every second, which here would be most of all events. */
const tickMs = 300_000

/** What `runResponder` of #mqtt-link does, over a simulated broker and virtual time. */
export function runSimResponder(options: ResponderLinkOptions): SimResponderLink {
  const { engine, clock, broker, responder } = options
  const backoff = new Backoff(defaults.ownBrokerBackoff, options.random)
  let connection: Connection<[string, Uint8Array]> | null = null
  let up = false

  function connect(): void {
    connection = broker.connectNode({
      up: () => {
        if (!options.alive()) return
        up = true
        backoff.reset()
      },
      message: (cid, frame) => {
        if (options.alive()) options.run(() => received(cid, frame))
      },
      down: () => {
        up = false
        connection = null
        if (options.alive()) later(backoff.next(), connect)
      },
    })
  }

  function later(ms: number, work: () => void): void {
    engine.after(clock.trueDelay(ms), () => {
      if (options.alive()) options.run(work)
    })
  }

  function received(cid: string, frame: Uint8Array): void {
    const outputs = responder.receive(cid, frame)
    if (outputs[0]?.type === 'message') options.onOpened(cid, frame)
    perform(outputs)
  }

  function perform(outputs: readonly ResponderOutput[]): void {
    for (const output of outputs) {
      if (!options.alive()) return
      const { cid } = output
      if (output.type === 'frame') connection?.publish(cid, output.bytes)
      else if (output.type === 'message') options.onMessage(cid, output.peer, output.payload)
      else if (output.type === 'open') {
        broker.admit(cid)
        options.onOpen(cid, output.peer, output.rekey)
      } else {
        if (output.peer !== null) broker.drop(cid)
        options.onClosed(cid, output.peer, output.code)
      }
    }
  }

  function tick(): void {
    perform(responder.tick())
    later(tickMs, tick)
  }

  later(0, connect)
  later(tickMs, tick)
  return {
    send(cid, payload) {
      if (!up || !options.alive()) return false
      const frame = responder.send(cid, payload)
      return frame !== null && (connection?.publish(cid, frame) ?? false)
    },
    drop: (cid, code) => perform(responder.drop(cid, code)),
    close: () => connection?.close(),
  }
}
