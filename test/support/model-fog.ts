import { equal } from '#bytes'
import type { VerifyKey } from '#crypto'
import { nodeCrypto } from '#crypto-node'
import { decodeUp, type Down, type ReceivedUp } from '#messages'
import {
  decodeBlock,
  decodeLive,
  firstChain,
  makeStatement,
  verifyStatement,
  type Block,
  type Reading,
} from '#reading'

/** A fog node reduced to its promises towards a meter; everything is verified. */
export function createModelFog(deviceId: string, verifyKey: VerifyKey) {
  /** Durable blocks, then blocks received but not committed, then live readings after those. */
  const durable: Block[] = []
  let staged: Block[] = []
  let live: Reading[] = []
  let base: Reading | null = null
  const kinds: Record<string, number> = {}
  const newest = () => staged.at(-1) ?? durable.at(-1)
  const head = () => newest()?.statement.last ?? 0

  function take(block: Block): Down[] {
    const previous = newest()?.statement
    if (block.statement.last <= head()) return []
    const chained = previous?.chain ?? firstChain(nodeCrypto, deviceId)
    if (block.statement.first !== head() + 1) return [{ type: 'resend', from: head() + 1 }]
    if (!equal(block.statement.previousChain, chained)) throw new Error('the chain is broken')
    if (!verifyStatement(verifyKey, block.statement, block.signature)) throw new Error('forged')
    staged.push(block)
    live = live.filter((reading) => reading.number > block.statement.last)
    return []
  }

  function takeLive(reading: Reading): Down[] {
    base = reading
    const expected = (live.at(-1)?.number ?? head()) + 1
    if (reading.number < expected) return []
    if (reading.number > expected) return [{ type: 'resend', from: expected }]
    live.push(reading)
    return []
  }

  function takeSignature(up: ReceivedUp & { type: 'block' }): Down[] {
    if (up.last <= head()) return []
    const readings = live.filter((reading) => reading.number <= up.last)
    if (up.first !== head() + 1 || readings.length !== up.last - up.first + 1) {
      return [{ type: 'resend', from: head() + 1 }]
    }
    const previous = newest()?.statement
    const statement = makeStatement(nodeCrypto, {
      deviceId,
      previousChain: previous?.chain ?? firstChain(nodeCrypto, deviceId),
      startImportWh: previous?.endImportWh ?? null,
      startExportWh: previous?.endExportWh ?? null,
      readings,
      skipped: up.skipped,
      anchor: up.anchor,
    })
    return take({ statement, signature: up.signature, readings })
  }

  function receive(payload: Uint8Array): Down[] {
    const up = decodeUp(payload)
    kinds[up.type] = (kinds[up.type] ?? 0) + 1
    if (up.type === 'hello') {
      restart()
      return [{ type: 'welcome', durable: head() }]
    }
    if (up.type === 'reading') return takeLive(up.reading)
    if (up.type === 'live') {
      return base === null
        ? [{ type: 'resend', from: head() + 1 }]
        : takeLive(decodeLive(base, up.values))
    }
    if (up.type === 'block') return takeSignature(up)
    if (up.type === 'report') return take(decodeBlock(nodeCrypto, up.body, deviceId))
    throw new Error(`a meter does not send ${up.type}`)
  }

  function commit(): Down[] {
    if (staged.length === 0) return []
    durable.push(...staged)
    staged = []
    return [{ type: 'receipt', durable: head() }]
  }

  function restart(): void {
    staged = []
    live = []
    base = null
  }

  return { receive, commit, restart, durable, kinds, head }
}
