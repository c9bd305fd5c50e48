import { once } from 'node:events'
import { createServer, type AddressInfo, type Server } from 'node:net'

/** `count` TCP ports that are free on loopback now; `wanted` comes first where it is free. */
export async function freePorts(count: number, wanted?: number): Promise<number[]> {
  const servers: Server[] = []
  const first = wanted === undefined ? null : await listen(wanted)
  if (first) servers.push(first)
  while (servers.length < count) {
    const server = await listen(0)
    if (server) servers.push(server)
  }
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}

async function listen(port: number): Promise<Server | null> {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    return server
  } catch {
    return null // in use
  }
}
