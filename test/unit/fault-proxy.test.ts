import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startFaultProxy, type FaultKind, type FaultProxy } from '../support/fault-proxy.ts'

/** Stands behind the proxy: keeps every byte, and sends each back. */
async function startEcho() {
  const received: Buffer[] = []
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.on('data', (bytes) => {
      received.push(bytes)
      socket.write(bytes)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    received: () => Buffer.concat(received),
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await once(server.close(), 'close')
    },
  }
}

const message = Buffer.from('a message of some length, to be cut somewhere inside')
let echo: Awaited<ReturnType<typeof startEcho>>
let proxy: FaultProxy

beforeEach(async () => {
  echo = await startEcho()
  proxy = await startFaultProxy({ target: () => echo.port, seed: 7 })
})

afterEach(async () => {
  await proxy.close()
  await echo.close()
})

/** A client of the proxy: what came back, and how the connection ended. */
async function dial() {
  const socket = connect(proxy.port, '127.0.0.1')
  const back: Buffer[] = []
  socket.on('data', (bytes) => void back.push(bytes))
  const ended = new Promise<string>((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    socket.on('close', () => resolve('closed'))
  })
  await Promise.race([once(socket, 'connect'), ended])
  return { socket, ended, back: () => Buffer.concat(back) }
}

async function reply(client: Awaited<ReturnType<typeof dial>>, length: number): Promise<Buffer> {
  while (client.back().length < length) await once(client.socket, 'data')
  return client.back()
}

function always(kind: FaultKind): void {
  proxy.disturb({ share: 1, kinds: [kind], delayMs: 20, stallMs: 20 })
}

describe('fault proxy', () => {
  it('carries every byte while nothing is wrong, and after it was healed', async () => {
    const big = Buffer.alloc(1_000_000, 'x')
    const client = await dial()
    client.socket.write(big)
    expect((await reply(client, big.length)).equals(big)).toBe(true)
    always('reset')
    proxy.heal()
    client.socket.write(message)
    await reply(client, big.length + message.length)
    expect(proxy.counts).toMatchObject({ reset: 0, connections: 1 })
    client.socket.destroy()
  })

  it.each(['delay', 'throttle'] as const)('%s: everything comes, later', async (kind) => {
    always(kind)
    const client = await dial()
    client.socket.write(message)
    expect((await reply(client, message.length)).toString()).toBe(message.toString())
    expect(proxy.counts[kind]).toBeGreaterThanOrEqual(2)
    client.socket.destroy()
  })

  it('slow: everything comes, later', async () => {
    proxy.slow(20)
    const client = await dial()
    client.socket.write(message)
    expect((await reply(client, message.length)).equals(message)).toBe(true)
    client.socket.destroy()
  })

  it('drop: neither the chunk nor anything behind it arrives, then a reset', async () => {
    always('drop')
    const client = await dial()
    client.socket.write(message)
    client.socket.write('behind it')
    expect(await client.ended).toBe('ECONNRESET')
    expect(echo.received()).toHaveLength(0)
  })

  it('reset: nothing arrives', async () => {
    always('reset')
    const client = await dial()
    client.socket.write(message)
    expect(await client.ended).toBe('ECONNRESET')
    expect(echo.received()).toHaveLength(0)
  })

  it('cut: a proper prefix arrives, then a reset', async () => {
    always('cut')
    const client = await dial()
    client.socket.write(message)
    expect(await client.ended).toBe('ECONNRESET')
    const { length } = echo.received()
    expect(length).toBeLessThan(message.length)
    expect(echo.received().equals(message.subarray(0, length))).toBe(true)
  })

  it('corrupt: exactly one bit is wrong, each way', async () => {
    always('corrupt')
    const client = await dial()
    client.socket.write(message)
    await reply(client, message.length)
    expect(wrongBits(echo.received(), message)).toBe(1)
    expect(wrongBits(client.back(), echo.received())).toBe(1)
    client.socket.destroy()
  })

  it('cut link: connections end, new ones die, until it is healed', async () => {
    const before = await dial()
    proxy.cut()
    expect(await before.ended).toMatch(/ECONNRESET|closed/)
    expect(await (await dial()).ended).toMatch(/ECONNRESET|closed/)
    proxy.heal()
    const after = await dial()
    after.socket.write(message)
    await reply(after, message.length)
    after.socket.destroy()
  })

  it('black hole: accepts and carries nothing; healing resets what lost bytes', async () => {
    const idle = await dial()
    proxy.blackHole()
    const client = await dial()
    client.socket.write(message)
    await expect.poll(() => proxy.counts.chunks).toBeGreaterThan(0)
    expect(echo.received()).toHaveLength(0)
    proxy.heal()
    expect(await client.ended).toBe('ECONNRESET')
    // A line that lost nothing goes on.
    idle.socket.write(message)
    expect((await reply(idle, message.length)).equals(message)).toBe(true)
    idle.socket.destroy()
  })

  it('deaf: what goes up arrives, nothing comes back; healing resets', async () => {
    const client = await dial()
    proxy.deafen()
    client.socket.write(message)
    client.socket.write(message)
    await expect.poll(() => echo.received().length).toBe(2 * message.length)
    expect(client.back()).toHaveLength(0)
    proxy.heal()
    expect(await client.ended).toBe('ECONNRESET')
  })

  it('does the same for the same seed', async () => {
    const runs = []
    for (let run = 0; run < 2; run++) {
      const other = await startFaultProxy({ target: () => echo.port, seed: 42 })
      other.disturb({ share: 0.5, kinds: ['corrupt'] })
      const socket = connect(other.port, '127.0.0.1')
      for (let count = 0; count < 20; count++) {
        socket.write(message)
        await once(socket, 'data')
      }
      runs.push({ ...other.counts })
      socket.destroy()
      await other.close()
    }
    expect(runs[0]).toEqual(runs[1])
    expect(runs[0]?.corrupt).toBeGreaterThan(5)
  })
})

function wrongBits(a: Buffer, b: Buffer): number {
  expect(a).toHaveLength(b.length)
  let wrong = 0
  for (const [index, byte] of a.entries()) {
    for (let rest = byte ^ (b[index] ?? 0); rest !== 0; rest &= rest - 1) wrong += 1
  }
  return wrong
}
