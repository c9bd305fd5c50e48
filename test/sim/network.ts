import type { Chance } from './chance.ts'
import type { Engine } from './engine.ts'

/** How a network treats frames: probabilities per frame, times in ms. */
export interface Weather {
  loss: number
  duplicate: number
  delayMs: number
  /** A frame arrives this much later at most, so that frames overtake each other. */
  jitterMs: number
}

export interface ClientEvents {
  up(): void
  message(frame: Uint8Array): void
  /** Over. Once, and the last event. */
  down(): void
}

export interface NodeEvents {
  up(): void
  message(cid: string, frame: Uint8Array): void
  down(): void
}

/** One side's view of a connection. */
export interface Connection<Args extends unknown[]> {
  /** False when this side knows that it is not connected. */
  publish(...args: Args): boolean
  close(): void
}

/** A broker that carries frames and knows nothing: between many clients and the one node it serves. */
export interface Broker {
  readonly name: string
  weather: Weather
  connectClient(owner: string, cid: string, events: ClientEvents): Connection<[Uint8Array]>
  connectNode(events: NodeEvents): Connection<[string, Uint8Array]>
  /** The node vouches for a client, or wants it gone. */
  admit(cid: string): void
  drop(cid: string): void
  /** Nothing passes between a device and this broker, and nobody is told. */
  partition(owner: string, ms: number): void
  /** The present connections of a device lead nowhere from now on; new ones work. */
  halfOpen(owner: string): void
  restart(downMs: number): void
  /** Ends every fault. */
  heal(weather: Weather): void
}

/** Owner name of the node itself in `partition` and `halfOpen`. */
export const nodeOwner = 'node'

const connectTimeoutMs = 10_000
const admitTimeoutMs = 10_000
/** A silent connection is given up after one and a half keep-alive times of 60 s. */
const keepaliveMs = [30_000, 90_000] as const
/** Connections that die with their broker and are told at once. */
const toldAtOnce = 0.8

interface End {
  owner: string
  cid: string
  state: 'opening' | 'up' | 'down'
  /** Dead without anybody knowing. */
  silent: boolean
  admitted: boolean
  down: () => void
  message: (cid: string, frame: Uint8Array) => void
}

export function createBroker(
  engine: Engine,
  chance: Chance,
  name: string,
  weather: Weather,
): Broker {
  const clients = new Map<string, End>()
  const partitions = new Map<string, number>()
  let node: End | null = null
  let up = true
  /** Goes up at every restart, so that what belongs to an earlier life can be told. */
  let life = 0

  const reachable = (owner: string) => up && (partitions.get(owner) ?? 0) <= engine.nowMs
  const passes = (end: End) => end.state === 'up' && !end.silent && reachable(end.owner)

  function open(end: End, ready: () => void): void {
    const opened = life
    engine.after(2 * broker.weather.delayMs, () => {
      if (end.state !== 'opening') return
      if (!reachable(end.owner) || opened !== life) {
        engine.after(up ? connectTimeoutMs : 20, () => end.down())
        return
      }
      end.state = 'up'
      ready()
    })
  }

  function close(end: End, tell: boolean): void {
    if (end.state === 'down') return
    if (tell) {
      end.down()
      return
    }
    end.state = 'down'
    forget(end)
  }

  function forget(end: End): void {
    if (clients.get(end.cid) === end) clients.delete(end.cid)
    if (node === end) node = null
  }

  function newEnd(owner: string, cid: string, events: { down(): void }): End {
    const end: End = {
      owner,
      cid,
      state: 'opening',
      silent: false,
      admitted: false,
      message: () => undefined,
      down() {
        if (end.state === 'down') return
        end.state = 'down'
        forget(end)
        events.down()
      },
    }
    return end
  }

  /** Both ends must still be there when it arrives, or it is lost. */
  function carry(from: End, to: End | null | undefined, cid: string, frame: Uint8Array): void {
    const { loss, duplicate, delayMs, jitterMs } = broker.weather
    if (!to || !passes(from) || !passes(to)) return
    const copies = chance.happens(loss) ? 0 : chance.happens(duplicate) ? 2 : 1
    const sent = frame.slice()
    for (let copy = 0; copy < copies; copy++) {
      const late = jitterMs > 0 ? Math.floor(chance.fraction() * jitterMs) : 0
      engine.after(2 * delayMs + late, () => {
        if (passes(to)) to.message(cid, sent)
      })
    }
  }

  function noticeLater(ends: readonly End[]): void {
    for (const end of ends) {
      engine.after(chance.between(...keepaliveMs), () => {
        if (end.state === 'up' && (end.silent || !reachable(end.owner))) close(end, true)
      })
    }
  }

  const endsOf = (owner: string): End[] =>
    owner === nodeOwner
      ? node === null
        ? []
        : [node]
      : [...clients.values()].filter((end) => end.owner === owner)

  const broker: Broker = {
    name,
    weather,
    connectClient(owner, cid, events) {
      const end = newEnd(owner, cid, events)
      end.message = (_cid, frame) => events.message(frame)
      open(end, () => {
        clients.set(cid, end)
        engine.after(admitTimeoutMs, () => {
          if (!end.admitted && end.state === 'up' && !end.silent) close(end, true)
        })
        events.up()
      })
      return {
        publish(frame) {
          if (end.state !== 'up') return false
          carry(end, node, cid, frame)
          return true
        },
        close: () => close(end, false),
      }
    },
    connectNode(events) {
      const end = newEnd(nodeOwner, '', events)
      end.message = (cid, frame) => events.message(cid, frame)
      open(end, () => {
        node = end
        events.up()
      })
      return {
        publish(cid, frame) {
          if (end.state !== 'up') return false
          carry(end, clients.get(cid), cid, frame)
          return true
        },
        close: () => close(end, false),
      }
    },
    admit(cid) {
      const end = clients.get(cid)
      if (end) end.admitted = true
    },
    drop(cid) {
      const end = clients.get(cid)
      if (end && !end.silent) engine.after(broker.weather.delayMs, () => close(end, true))
    },
    partition(owner, ms) {
      engine.note('partition', name, owner, ms)
      partitions.set(owner, engine.nowMs + ms)
      noticeLater(endsOf(owner))
    },
    halfOpen(owner) {
      const ends = endsOf(owner)
      engine.note('half-open', name, owner, ends.length)
      for (const end of ends) end.silent = true
      noticeLater(ends)
    },
    restart(downMs) {
      engine.note('broker-restart', name, downMs)
      const ends = [...clients.values(), ...(node ? [node] : [])]
      life += 1
      up = false
      for (const end of ends) {
        end.silent = true
        if (chance.happens(toldAtOnce)) engine.after(20, () => close(end, true))
      }
      clients.clear()
      node = null
      noticeLater(ends)
      engine.after(downMs, () => (up = true))
    },
    heal(fine) {
      partitions.clear()
      broker.weather = fine
    },
  }
  return broker
}
