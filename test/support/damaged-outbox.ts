import { nodeCrypto } from '#crypto-node'
import BetterSqlite3 from 'better-sqlite3'
import { dropChecksum } from '#bytes'
import { createMemoryStore } from '#cloud'
import { createUplink } from '#fog'
import { openFogStore } from '#fog-store'
import { decodeItem, type Item } from '#messages'
import { device } from './cloud.ts'
import { cloudBehind, fogBench, report, simulatedMeter, virtualClock } from './fog.ts'

/** One row of the outbox as it lies in the file. */
export interface OutboxRow {
  number: number
  body: Uint8Array
}

export const typeOf = ({ body }: OutboxRow): Item['type'] => decodeItem(dropChecksum(body)).type

/** Rows of a file that nobody else is writing to. */
export function outboxRows(path: string): OutboxRow[] {
  const raw = new BetterSqlite3(path, { readonly: true })
  const rows = raw.prepare('SELECT number, body FROM outbox ORDER BY number').all()
  raw.close()
  return rows as OutboxRow[]
}

/** Bits on the disk flip; no database notices. */
export function flipBit(path: string, { number, body }: OutboxRow, ...bits: number[]): void {
  const flipped = Uint8Array.from(body)
  for (const bit of bits) flipped[bit >> 3]! ^= 1 << (bit & 7)
  const raw = new BetterSqlite3(path)
  raw.prepare('UPDATE outbox SET body = ? WHERE number = ?').run(flipped, number)
  raw.close()
}

/** A fog node on a real file, with two meters behind it and a cloud it has not reached yet. */
export function damagedWorld(path: string) {
  const clock = virtualClock()
  const contents = createMemoryStore()
  const cloud = cloudBehind(contents, clock)
  const fog = device('fog', 'fog-1')
  const store = openFogStore(path, clock)
  const bench = fogBench({ store, clock })

  /** Several windows of two meters, one of which leaves a hole: every type of item there is. */
  async function fill(): Promise<void> {
    const meters = [simulatedMeter('meter-1', 1), simulatedMeter('meter-2', 2)]
    for (const meter of meters) bench.hello(meter.name, meter)
    for (let round = 0; round < 4; round++) {
      for (const meter of meters) {
        const block = meter.block(6)
        // It has given these up, and says that it holds nothing older than what follows.
        if (round === 2 && meter.name === 'meter-2') bench.hello('again', meter, meter.state.number)
        else bench.up(round > 2 && meter.name === 'meter-2' ? 'again' : meter.name, report(block))
      }
      await bench.commit()
      clock.advance(60_000)
      bench.fog.tick()
    }
    clock.advance(400_000)
    bench.fog.tick()
  }

  /** One session with the cloud, until all has arrived. */
  function forward(): void {
    const uplink = createUplink({
      outbox: store.outbox,
      receipts: store.receipts,
      store: store.id,
      clock,
      crypto: nodeCrypto,
      onRevocations: () => undefined,
      credentialOf: (deviceId) => bench.fog.credentialOf(deviceId),
      onSuperseded: () => undefined,
      onSetBack: (setBack) => bench.fog.sendAgain(setBack),
      onWindowConflict: (startS) => bench.fog.yieldWindow(startS),
      onWithdraw: (deviceId, first, through) => bench.fog.withdraw(deviceId, first, through),
    })
    cloud.opened('uplink', fog.credential)
    let up = uplink.onOpen('cloud-a')
    for (let round = 0; round < 100 && (round === 0 || store.backlog().items > 0); round++) {
      const outputs = up.flatMap((payload) => cloud.received('uplink', fog.credential, payload))
      const down = [...outputs, ...cloud.flush()]
      up = down.flatMap((output) =>
        output.type === 'send' ? uplink.onMessage(output.payload) : [],
      )
      clock.advance(1_000)
      bench.fog.tick()
      up.push(...uplink.tick())
    }
    cloud.closed('uplink')
  }

  return {
    clock,
    contents: contents.contents,
    fill,
    forward,
    fog: bench.fog,
    store,
    close: () => store.close(),
  }
}
