import type { Client } from 'aedes'
import { connectionOf } from './connection.ts'
import type { EngineHost } from './engine.ts'
import { SEND_BUFFER_BYTES } from './limits.ts'

/** Not in Aedes' types: how its writer waits for a socket whose buffer is full. */
type Wait = (this: Client, done: (error?: Error | null, client?: Client) => void) => void

/** One function for all clients of a broker. */
const waits = new WeakMap<EngineHost, Wait>()

/**
 * Lets nobody wait for a network client that does not read. Aedes holds back the sender of a
 * message until every receiver has room, so one frozen meter would hold back the agent and through
 * it all other meters. What goes down at QoS 0 is receipts, where only the last one counts: the
 * writer goes on, and the reader is disconnected when its time or its buffer is used up.
 */
export function neverWaitFor(client: Client, host: EngineHost): void {
  if (!host.rules.has('slow-reader')) return
  const waiting = client as Client & { waitForDrain: Wait }
  const wait = waits.get(host) ?? makeWait(host, waiting.waitForDrain)
  waits.set(host, wait)
  waiting.waitForDrain = wait
}

function makeWait(host: EngineHost, plainWait: Wait): Wait {
  return function wait(this: Client, done) {
    const connection = connectionOf(this.conn)
    if (!connection.draining) {
      connection.draining = true
      // Aedes' own timer: it ends the connection after drainTimeout.
      plainWait.call(this, () => (connection.draining = false))
    }
    if (connection.socket.writableLength > SEND_BUFFER_BYTES) host.refuse(connection, 'slow-reader')
    setImmediate(done, null, this)
  }
}
