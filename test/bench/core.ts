/** A fog core with its store and its verifying threads, fed with sealed frames directly. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createInitiator, createResponder, type Initiator, type Responder } from '#channel'
import { nativeCrypto } from '#crypto-native'
import { createFog, fogDefaults, type Fog, type Verifier } from '#fog'
import { openFogStore } from '#fog-store'
import { decodeDown, encodeUp } from '#messages'
import { signStatement, statementToSign } from '#reading'
import { systemClock, systemRandom } from '#service'
import { startVerifyPool } from '../../apps/agent/verify-pool.ts'
import { blockReadings, homeDay, MeterSource, type Mode } from './meter-source.ts'
import { meterName, newTrust, node, personOf } from './people.ts'
import { ownCpuUs } from './proc.ts'

/** Blocks a meter has on their way at most; together they stay below what the core lets in. */
const window = 16
/** Frames between two turns of the event loop, as many as one read of a socket brings. */
const burst = 128
const tickMs = 50

interface Frame {
  bytes: Uint8Array
  /** The number its receipt will name, 0 without one. */
  last: number
}

interface Channel {
  cid: string
  source: MeterSource
  initiator: Initiator
  frames: Frame[]
  at: number
  /** Last numbers of the blocks not receipted. */
  waiting: number[]
}

export class Core {
  readonly #channels = new Map<string, Channel>()
  readonly #responder: Responder
  readonly #fog: Fog
  #held: Promise<void> | null = null

  constructor(dir: string, workers: number) {
    mkdirSync(dir, { recursive: true })
    const common = { crypto: nativeCrypto, clock: systemClock }
    const own = personOf(node, 'fog')
    const trust = newTrust()
    this.#responder = createResponder({
      ...common,
      own,
      trust,
      random: systemRandom,
      peerRole: 'meter',
      group: 'default',
    })
    this.#fog = createFog({
      ...common,
      store: openFogStore(join(dir, 'fog.db'), systemClock),
      verifier: startVerifyPool(workers, fail),
      link: {
        // Sealed as on the way to a broker, and then looked at instead of sent.
        send: (cid, payload) => {
          this.#responder.send(cid, payload)
          this.#heard(cid, payload)
        },
        drop: (_, code) => fail(new Error(code)),
      },
      settings: fogDefaults,
      version: 'bench',
    })
    setInterval(() => this.#fog.tick(), tickMs).unref()
  }

  async connect(meters: number): Promise<void> {
    for (let house = 0; house < meters; house++) {
      const own = personOf(meterName(house), 'meter')
      const cid = `core${String(house).padStart(4, '0')}`
      const initiator = createInitiator({
        crypto: nativeCrypto,
        clock: systemClock,
        random: systemRandom,
        own,
        node,
        trust: newTrust(),
        peerRole: 'fog',
        channelId: cid,
      })
      const source = new MeterSource(own, homeDay(house), { house, intervalS: 1 })
      this.#channels.set(cid, { cid, source, initiator, frames: [], at: 0, waiting: [] })
      this.#shakeHands(cid, initiator)
      const hello = encodeUp({ type: 'hello', oldestHeld: 1, next: 1 })
      this.#receive(cid, initiator.send(hello))
    }
  }

  /** Seals the load, then measures taking it. */
  async run(mode: Mode, blocksPerMeter: number): Promise<{ cpuUs: number; perSecond: number }> {
    for (const channel of this.#channels.values()) prepare(channel, mode, blocksPerMeter)
    const before = this.#fog.counters().readings
    const [cpu, ms] = [ownCpuUs(), systemClock.monotonic()]
    await this.#feed()
    const [cpuUs, tookMs] = [ownCpuUs() - cpu, systemClock.monotonic() - ms]
    const readings = this.#fog.counters().readings - before
    const expected = this.#channels.size * blocksPerMeter * blockReadings(mode)
    if (readings !== expected) throw new Error(`${readings} readings of ${expected} were committed`)
    return { cpuUs: cpuUs / readings, perSecond: (readings / tookMs) * 1_000 }
  }

  async #feed(): Promise<void> {
    const channels = [...this.#channels.values()]
    let fed = 0
    for (;;) {
      let open = false
      let any = false
      for (const channel of channels) {
        const frame = channel.frames[channel.at]
        open ||= frame !== undefined || channel.waiting.length > 0
        if (frame === undefined || channel.waiting.length >= window) continue
        any = true
        channel.at += 1
        if (frame.last > 0) channel.waiting.push(frame.last)
        this.#receive(channel.cid, frame.bytes)
        fed += 1
        if (this.#held !== null) await this.#released()
        else if (fed % burst === 0) await turn()
      }
      if (!open) return
      if (!any) await pause(1)
    }
  }

  async #released(): Promise<void> {
    await this.#held
    this.#held = null
  }

  #receive(cid: string, bytes: Uint8Array): void {
    for (const output of this.#responder.receive(cid, bytes)) {
      if (output.type === 'open') this.#fog.open(cid, output.peer)
      else if (output.type === 'message') {
        this.#held = this.#fog.receive(cid, output.payload) ?? this.#held
      } else if (output.type === 'closed') fail(new Error(output.code))
    }
  }

  #heard(cid: string, payload: Uint8Array): void {
    const message = decodeDown(payload)
    const channel = this.#channels.get(cid)
    if (message.type === 'receipt') {
      while ((channel?.waiting[0] ?? Infinity) <= message.durable) channel?.waiting.shift()
    } else if (message.type !== 'welcome') fail(new Error(`the core answered ${message.type}`))
  }

  #shakeHands(cid: string, initiator: Initiator): void {
    let up = initiator.start()
    while (up.length > 0) {
      const down = up.flatMap((output) => {
        if (output.type !== 'frame') return []
        return this.#responder.receive(cid, output.bytes)
      })
      for (const output of down) if (output.type === 'open') this.#fog.open(cid, output.peer)
      up = down.flatMap((output) =>
        output.type === 'frame' ? initiator.receive(output.bytes) : [],
      )
    }
  }
}

function prepare(channel: Channel, mode: Mode, blocks: number): void {
  const { source, initiator } = channel
  channel.at = 0
  channel.frames = []
  for (let i = 0; i < blocks; i++) {
    for (const { payload, last } of source.block(mode).messages) {
      channel.frames.push({ bytes: initiator.send(payload), last })
    }
  }
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve))
const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** Ends the measurement, from wherever it is noticed. */
function fail(error: unknown): void {
  setImmediate(() => {
    throw error
  })
}

/** Signatures a second with one and with two verifying threads, given a queue that is never empty. */
export class Pools {
  readonly #one = startVerifyPool(1, fail)
  readonly #two = startVerifyPool(2, fail)
  #jobs: { key: Uint8Array; message: Uint8Array; signature: Uint8Array }[] = []

  async compare(signatures: number): Promise<{ one: number; two: number }> {
    if (this.#jobs.length === 0) this.#jobs = await makeJobs(200)
    return {
      one: await this.#perSecond(this.#one, signatures),
      two: await this.#perSecond(this.#two, signatures),
    }
  }

  async #perSecond(pool: Verifier, count: number): Promise<number> {
    const before = systemClock.monotonic()
    const checks = Array.from({ length: count }, (_, i) => {
      const job = this.#jobs[i % this.#jobs.length]
      if (job === undefined) throw new Error('no signature to check')
      return pool.verify(job.key, job.message, job.signature)
    })
    const results = await Promise.all(checks)
    if (!results.every((good) => good)) throw new Error('a good signature was refused')
    return (count / (systemClock.monotonic() - before)) * 1_000
  }
}

async function makeJobs(meters: number) {
  return Array.from({ length: meters }, (_, house) => {
    const own = personOf(meterName(house), 'meter')
    const { block } = new MeterSource(own, homeDay(house), { house, intervalS: 1 }).block('block')
    const message = statementToSign(block.statement)
    const signature = signStatement(own.key, block.statement)
    return { key: own.key.publicKey, message, signature }
  })
}
