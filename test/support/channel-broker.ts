import { createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import { Aedes, type PublishPacket } from 'aedes'

export interface TestBroker {
  readonly aedes: Aedes
  readonly port: number
  /** Every packet a client published, in order. */
  readonly published: PublishPacket[]
  /** Ends all connections and stops listening, as a killed process would. */
  kill(): Promise<void>
}

/** A plain Aedes without any rules, on 127.0.0.1 (any port, or the one given) or a Unix socket. */
export async function startBroker(
  where: { port?: number; path?: string; tls?: { key: string; cert: string } } = {},
): Promise<TestBroker> {
  const aedes = await Aedes.createBroker()
  const sockets = new Set<Socket>()
  const published: PublishPacket[] = []
  aedes.on('publish', (packet, client) => {
    if (client !== null) published.push(packet)
  })
  const handle = (socket: Socket): void => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => undefined)
    aedes.handle(socket)
  }
  const server: Server = where.tls ? createTlsServer(where.tls, handle) : createServer(handle)
  await new Promise<void>((resolve) => {
    if (where.path === undefined) server.listen(where.port ?? 0, '127.0.0.1', resolve)
    else server.listen(where.path, resolve)
  })
  const address = server.address()
  return {
    aedes,
    published,
    port: typeof address === 'object' && address !== null ? address.port : 0,
    async kill() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
      await new Promise<void>((resolve) => aedes.close(() => resolve()))
    },
  }
}
