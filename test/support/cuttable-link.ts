import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

/** A TCP relay on loopback that can be cut: every connection is reset, new ones die at once. */
export interface CuttableLink {
  port: number
  cut(): void
  heal(): void
  close(): Promise<void>
}

export async function startCuttableLink(targetPort: () => number): Promise<CuttableLink> {
  const sockets = new Set<Socket>()
  let whole = true
  const server = createServer((near) => {
    if (!whole) {
      near.resetAndDestroy()
      return
    }
    const far = connect(targetPort(), '127.0.0.1')
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from)
      from.on('error', () => to.destroy())
      from.on('close', () => {
        sockets.delete(from)
        to.destroy()
      })
      from.pipe(to)
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const reset = () => {
    for (const socket of sockets) socket.resetAndDestroy()
  }
  return {
    port: (server.address() as AddressInfo).port,
    cut() {
      whole = false
      reset()
    },
    heal() {
      whole = true
    },
    async close() {
      reset()
      await once(server.close(), 'close')
    },
  }
}
