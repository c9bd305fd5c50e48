import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { setTimeout as wait } from 'node:timers/promises'
import { seededRandom } from './random.ts'

/**
 * What can happen to one chunk of a TCP stream. TCP itself repairs a lost segment, so what a program
 * sees of a loss is either a delay or, when the repair never comes, silence and then a reset.
 *
 *   delay     the chunk and all behind it come later
 *   drop      the chunk is gone: nothing behind it may arrive either, and the line ends by a reset
 *   reset     the line ends at once, both ways
 *   throttle  the chunk trickles
 *   cut       a part of the chunk arrives, then the line is reset: MQTT packets end in the middle
 *   corrupt   one bit is wrong, as from a broken middlebox
 */
export const faultKinds = ['delay', 'drop', 'reset', 'throttle', 'cut', 'corrupt'] as const
export type FaultKind = (typeof faultKinds)[number]

export interface Faults {
  /** Of all chunks, how many are disturbed: 0 to 1. */
  share: number
  kinds: readonly FaultKind[]
  /** Longest delay; the shortest is 0. */
  delayMs: number
  /** Silence after a dropped chunk until the reset. */
  stallMs: number
  throttleBytesPerSecond: number
}

/** Short times, so that a test sees many of them. */
export const defaultFaults: Faults = {
  share: 0.3,
  kinds: faultKinds,
  delayMs: 300,
  stallMs: 200,
  throttleBytesPerSecond: 4_000,
}

/** A TCP relay on loopback that does to its connections what networks do. Starts without faults. */
export interface FaultProxy {
  port: number
  /** Chunks carried, and what was done to how many of them. */
  counts: Record<FaultKind | 'chunks' | 'connections', number>
  /** From now on chunks are disturbed. */
  disturb(faults: Partial<Faults>): void
  /** Every chunk, both ways, comes this much later: a slow peer behind a long line. */
  slow(delayMs: number): void
  /** Every connection is reset, new ones die at once. */
  cut(): void
  /** Connections are accepted and stay, and nothing is carried any more. */
  blackHole(): void
  /** What goes up arrives, what comes back does not: receipts get lost. */
  deafen(): void
  /** No faults from now on. Lines that lost something are reset: their streams have holes. */
  heal(): void
  close(): Promise<void>
}

interface Line {
  near: Socket
  far: Socket
  ended: AbortController
  /** A chunk of it was swallowed. */
  holed: boolean
}

type Mode = 'carry' | 'cut' | 'hole' | 'deaf'

export async function startFaultProxy(options: {
  target: () => number
  seed: number
}): Promise<FaultProxy> {
  const random = seededRandom(options.seed)
  const lines = new Set<Line>()
  let mode: Mode = 'carry'
  let faults: Faults = { ...defaultFaults, share: 0 }
  let slowMs = 0
  const counts: FaultProxy['counts'] = {
    chunks: 0,
    connections: 0,
    delay: 0,
    drop: 0,
    reset: 0,
    throttle: 0,
    cut: 0,
    corrupt: 0,
  }

  const server = createServer({ noDelay: true }, (near) => {
    if (mode === 'cut') {
      near.on('error', () => undefined).resetAndDestroy()
      return
    }
    counts.connections += 1
    const far = connect({ port: options.target(), host: '127.0.0.1', noDelay: true })
    const line: Line = { near, far, ended: new AbortController(), holed: false }
    lines.add(line)
    for (const socket of [near, far]) {
      socket.on('error', () => end(line))
      socket.on('close', () => end(line))
    }
    void carry(line, near, far)
    void carry(line, far, near)
  })

  /** Ends a line by a reset on both sides; safe to call again. */
  function end(line: Line): void {
    if (!lines.delete(line)) return
    line.ended.abort()
    line.near.resetAndDestroy()
    line.far.resetAndDestroy()
  }

  async function carry(line: Line, from: Socket, to: Socket): Promise<void> {
    const { signal } = line.ended
    try {
      for await (const chunk of from) {
        counts.chunks += 1
        if (slowMs > 0) await wait(slowMs, undefined, { signal })
        if (mode === 'hole' || (mode === 'deaf' && from === line.far)) line.holed = true
        if (line.holed && !(mode === 'deaf' && from === line.near)) continue
        await deliver(line, to, chunk as Buffer)
      }
      if (!line.holed) to.end()
    } catch {
      end(line) // the line is over; what was on it is gone, as on a real one
    }
  }

  async function deliver(line: Line, to: Socket, chunk: Buffer): Promise<void> {
    const { signal } = line.ended
    const kind = pick()
    if (kind !== null) counts[kind] += 1
    switch (kind) {
      case 'delay':
        await wait(random() * faults.delayMs, undefined, { signal })
        return write(to, chunk, signal)
      case 'drop':
        line.holed = true
        await wait(faults.stallMs, undefined, { signal })
        return end(line)
      case 'reset':
        return end(line)
      case 'throttle':
        return trickle(to, chunk, faults.throttleBytesPerSecond, signal)
      case 'cut':
        await write(to, chunk.subarray(0, Math.floor(random() * chunk.length)), signal)
        // What was written leaves before the reset overtakes it.
        await wait(5, undefined, { signal })
        return end(line)
      case 'corrupt':
        return write(to, flipped(chunk, random), signal)
      default:
        return write(to, chunk, signal)
    }
  }

  function pick(): FaultKind | null {
    if (faults.share === 0 || random() >= faults.share) return null
    return faults.kinds[Math.floor(random() * faults.kinds.length)] ?? null
  }

  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    counts,
    disturb(changes) {
      faults = { ...faults, share: defaultFaults.share, ...changes }
    },
    slow(delayMs) {
      slowMs = delayMs
    },
    cut() {
      mode = 'cut'
      for (const line of lines) end(line)
    },
    blackHole() {
      mode = 'hole'
    },
    deafen() {
      mode = 'deaf'
    },
    heal() {
      mode = 'carry'
      slowMs = 0
      faults = { ...faults, share: 0 }
      for (const line of lines) if (line.holed) end(line)
    },
    async close() {
      const closed = once(server.close(), 'close')
      for (const line of lines) end(line)
      await closed
    },
  }
}

async function write(to: Socket, bytes: Buffer, signal: AbortSignal): Promise<void> {
  if (bytes.length > 0 && !to.write(bytes)) await once(to, 'drain', { signal })
}

/** A few bytes at a time, at the given rate. */
async function trickle(
  to: Socket,
  chunk: Buffer,
  bytesPerSecond: number,
  signal: AbortSignal,
): Promise<void> {
  const piece = Math.max(1, Math.ceil(bytesPerSecond / 50))
  for (let at = 0; at < chunk.length; at += piece) {
    await write(to, chunk.subarray(at, at + piece), signal)
    await wait((piece / bytesPerSecond) * 1_000, undefined, { signal })
  }
}

function flipped(chunk: Buffer, random: () => number): Buffer {
  const bytes = Buffer.from(chunk)
  const bit = Math.floor(random() * bytes.length * 8)
  bytes[bit >>> 3]! ^= 1 << (bit & 7)
  return bytes
}
