import { createResponder, type ResponderOutput } from '#channel'
import { createTrust, type Credential } from '#credential'
import { nodeCrypto } from '#crypto-node'
import { encodeDown } from '#messages'
import type { Reading } from '#reading'
import { freeBytes } from '../../apps/emulator/run.ts'
import { nativePrimitives } from '../../apps/emulator/native.ts'
import { openFlashChip, type FlashChip } from '../../apps/emulator/flash-chip.ts'
import type { Firmware, Host, Operation, Provision } from '../../apps/emulator/firmware/host.ts'
import { createPeople } from './chip-people.ts'
import { createModelFog } from './model-fog.ts'
import { seededRandom } from './random.ts'

/** A chip's surroundings without time passing: its flash, its provision, a fog node at the other end. */
export interface ChipBench {
  host: Host
  provision: Provision
  flash: FlashChip
  events: { event: string; [name: string]: unknown }[]
  charges: Partial<Record<Operation, number>>
  /** One reading, a minute after the last. */
  measure(firmware: Firmware): boolean
  /** Radio on until everything is delivered or the firmware gives up. */
  deliver(firmware: Firmware): void
  /** Blocks the fog node holds. */
  held(): number
  /** Their readings, in order. */
  readings(): Reading[]
  /** A power cut: what only outlives sleep is gone. */
  cut(): void
}

export function createChipBench(
  options: {
    seed?: number
    free?: Partial<typeof freeBytes>
    /** Credentials on the list that the fog node passes on; without it there is no list. */
    revoked?: number
  } = {},
): ChipBench {
  const { seed = 1 } = options
  const fraction = seededRandom(seed)
  const random = (length: number) => Uint8Array.from({ length }, () => fraction() * 256)
  const flash = openFlashChip({ sectors: 64, sectorBytes: 4_096, random })
  let [nowMs, importWh] = [Date.UTC(2026, 10, 26), 1_000]
  const people = createPeople(random, nowMs)
  const own = people.enrol('meter', 'meter-1')
  const fog = people.enrol('fog', 'fog-1')
  const list = options.revoked === undefined ? null : people.revoke(options.revoked)
  let retained: Uint8Array = new Uint8Array()
  let outgoing: Uint8Array[] = []
  let channelId: string | null = null
  let model: ReturnType<typeof createModelFog> | null = null
  const clock = { now: () => nowMs, monotonic: () => nowMs }
  const trust = createTrust({
    crypto: nodeCrypto,
    authorityKey: people.authorityKey,
    now: () => null,
  })
  const responder = createResponder({
    crypto: nodeCrypto,
    clock,
    random,
    own: fog,
    trust,
    peerRole: 'meter',
    group: null,
  })

  function answer(peer: Credential, cid: string, payload: Uint8Array): Uint8Array[] {
    model ??= createModelFog(peer.deviceId, nodeCrypto.verifyKey(peer.publicKey))
    const downs = [...model.receive(payload), ...model.commit()]
    if (list !== null && downs[0]?.type === 'welcome') downs.push({ type: 'revocations', list })
    return downs.flatMap((down) => responder.send(cid, encodeDown(down)) ?? [])
  }

  function framesOf(output: ResponderOutput): Uint8Array[] {
    if (output.type === 'frame') return [output.bytes]
    return output.type === 'message' ? answer(output.peer, output.cid, output.payload) : []
  }

  const bench: ChipBench = {
    flash,
    events: [],
    charges: {},
    provision: {
      signingSecret: own.secret,
      credential: own.credential.encoded,
      authorityKey: people.authorityKey,
      node: 'fog-1',
      sectors: flash.sectors,
      sectorBytes: flash.sectorBytes,
      ...freeBytes,
      ...options.free,
      maxBlocks: 100,
      maxStatements: 200,
    },
    host: {
      ...clock,
      timeKnown: () => true,
      random,
      flashRead: (at, length) => flash.read(at, length),
      flashProgram: (at, bytes) => flash.program(at, bytes),
      flashErase: (sector) => flash.erase(sector),
      retained: () => retained,
      retain: (bytes) => (retained = bytes),
      connect: (cid) => (channelId = cid),
      publish: (frame) => void outgoing.push(frame),
      disconnect: () => (channelId = null),
      charge: (operation) => {
        bench.charges[operation] = (bench.charges[operation] ?? 0) + 1
      },
      event: (json) => void bench.events.push(JSON.parse(json) as { event: string }),
      native: nativePrimitives,
    },
    measure(firmware) {
      nowMs += 60_000
      importWh += 7
      return firmware.measure(420, importWh, 0)
    },
    deliver(firmware) {
      outgoing = []
      firmware.online()
      firmware.connected()
      for (let sent = outgoing.shift(); sent !== undefined; sent = outgoing.shift()) {
        if (channelId === null) return
        for (const output of responder.receive(channelId, sent)) {
          for (const frame of framesOf(output)) firmware.receive(frame)
        }
      }
    },
    held: () => model?.durable.length ?? 0,
    readings: () => model?.durable.flatMap((block) => block.readings) ?? [],
    cut: () => (retained = new Uint8Array()),
  }
  return bench
}
