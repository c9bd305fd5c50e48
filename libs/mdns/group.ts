/** The multicast group of mDNS on one interface, RFC 6762 §3 and §11. */
import { createSocket } from 'node:dgram'
import type { Interface } from './interfaces.ts'

const GROUP = '224.0.0.251'
export const PORT = 5353
/** RFC 6762 §11. */
const HOPS = 255

export interface Sender {
  address: string
  port: number
}

/** What a member hears. */
export interface GroupEvents {
  /** Only from the interface's own network. */
  message(bytes: Uint8Array, from: Sender): void
  /** It cannot take part (any more); the last event. */
  failed(error: NodeJS.ErrnoException): void
}

export interface Group {
  readonly at: Interface
  /** To all, or to one that asked from a port of its own. Resolves when it has left; losses are silent. */
  send(bytes: Uint8Array, to?: Sender): Promise<void>
  close(): void
}

/**
 * Bound to the group's own address, a socket hears multicast alone and takes nobody's unicast away:
 * another responder, such as avahi's, may be on the same port.
 */
export function joinGroup(at: Interface, events: GroupEvents, onJoined: () => void): Group {
  const socket = createSocket({ type: 'udp4', reuseAddr: true })
  let open = true
  const end = () => {
    if (open) socket.close()
    open = false
  }
  const fail = (error: unknown) => {
    if (!open) return
    end()
    events.failed(error as NodeJS.ErrnoException)
  }
  socket.on('error', fail)
  // Every socket of the port hears what comes in on any interface.
  socket.on('message', (bytes, from) => {
    if (at.isNear(from.address)) events.message(bytes, from)
  })
  socket.bind({ port: PORT, address: GROUP }, () => {
    try {
      socket.addMembership(GROUP, at.address)
      socket.setMulticastInterface(at.address)
      socket.setMulticastTTL(HOPS)
      socket.setMulticastLoopback(true)
    } catch (error) {
      return fail(error)
    }
    onJoined()
  })
  return {
    at,
    send: (bytes, to = { address: GROUP, port: PORT }) =>
      new Promise((resolve) => {
        if (!open) return resolve()
        socket.send(bytes, to.port, to.address, () => resolve())
      }),
    close: end,
  }
}
