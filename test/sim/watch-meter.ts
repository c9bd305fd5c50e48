import type { OutboxItem } from '#delivery'
import type { MeterStore } from '#meter'
import { decodeBlock, type Reading } from '#reading'
import type { Crypto } from '#crypto'
import { decodeRecord } from '../../libs/meter/record.ts'
import type { Disk } from './disk.ts'
import { bodyKey, type MeterTruth, type TrueBlock, type Truth } from './truth.ts'

export interface WatchMeterOptions {
  truth: Truth
  deviceId: string
  disk: Disk
  crypto: Crypto
  /** Signed blocks the meter may hold. */
  maxBlocks: number
}

/** A meter's store whose every durable change goes into the truth, and whose forgetting is judged. */
export function watchMeterStore(store: MeterStore, options: WatchMeterOptions): MeterStore {
  const { truth, deviceId, disk } = options
  const meter = truth.meter(deviceId)
  let readings: Reading[] = []
  let blocks: OutboxItem[] = []
  disk.onSafe = () => {
    for (const reading of readings.splice(0)) noteReading(truth, meter, reading)
    for (const block of blocks.splice(0)) noteBlock(options, meter, block)
  }
  const undone = <T>(work: () => T): T => {
    try {
      return work()
    } catch (error) {
      readings = []
      blocks = []
      throw error
    }
  }
  return {
    ...store,
    append(number, record) {
      readings.push(decodeRecord(record).reading)
      undone(() => store.append(number, record))
    },
    seal(block, head) {
      blocks.push(block)
      undone(() => store.seal(block, head))
      if (store.count() > options.maxBlocks) {
        truth.violation(`${deviceId} holds ${store.count()} blocks, ${options.maxBlocks} allowed`)
      }
    },
    transaction: (work) => undone(() => store.transaction(work)),
    dropThrough(number) {
      checkForgotten(truth, meter, number)
      store.dropThrough(number)
    },
    refuse(first, last, code) {
      for (const block of meter.blocks) {
        if (block.first === first && block.last === last) block.excused ??= code
      }
      store.refuse(first, last, code)
    },
  }
}

function noteReading(truth: Truth, meter: MeterTruth, reading: Reading): void {
  const before = meter.readings.get(reading.number)
  if (before !== undefined && !meter.forked) {
    truth.violation(`${meter.deviceId} used number ${reading.number} twice`)
  }
  meter.readings.set(reading.number, reading)
}

function noteBlock(options: WatchMeterOptions, meter: MeterTruth, item: OutboxItem): void {
  const { truth, deviceId } = options
  const { first, last, body } = item
  const { readings, statement } = decodeBlock(options.crypto, body, deviceId)
  const { startImportWh, startExportWh } = statement
  const block: TrueBlock = {
    ...{ deviceId, first, last, body, startImportWh, startExportWh },
    readings,
    heldBy: new Set(),
    excused: null,
  }
  const newest = meter.blocks.at(-1)
  if (newest !== undefined && first <= newest.last && !meter.forked) {
    truth.violation(`${deviceId} signed ${first} to ${last} after ${newest.last}`)
  }
  for (const reading of block.readings) {
    const { timeS, powerW, importWh } = meter.readings.get(reading.number) ?? {}
    const same =
      timeS === reading.timeS && powerW === reading.powerW && importWh === reading.importWh
    if (!same) truth.violation(`${deviceId} signed other content under ${reading.number}`)
  }
  meter.blocks.push(block)
  truth.byBody.set(bodyKey(deviceId, body), block)
}

/** What a meter forgets because it was told that it is durable must be at a fog node, now. */
function checkForgotten(truth: Truth, meter: MeterTruth, through: number): void {
  if (meter.forked) return
  for (let block = meter.blocks[meter.checked]; block !== undefined && block.last <= through;) {
    if (block.heldBy.size === 0 && block.excused === null) {
      const which = `${block.first} to ${block.last}`
      truth.violation(`${meter.deviceId} was told ${through}; no fog node holds ${which}`)
    }
    meter.checked += 1
    block = meter.blocks[meter.checked]
  }
}
