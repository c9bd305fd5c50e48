import type { OutboxItem } from '#delivery'
import type { MeterStore } from '#meter'
import { decodeBlock, type Reading } from '#reading'
import type { Crypto } from '#crypto'
import { decodeRecord } from '../../libs/meter/record.ts'
import type { Disk } from './disk.ts'
import type { Source } from './source.ts'
import { bodyKey, type MeterTruth, type TrueBlock, type Truth } from './truth.ts'

export interface WatchMeterOptions {
  truth: Truth
  deviceId: string
  disk: Disk
  crypto: Crypto
  /** Signed blocks the meter may hold with their readings. */
  maxBlocks: number
  /** What is really measured, which no meter program sees. */
  source: Pick<Source, 'importWh' | 'exportWh' | 'right'>
}

/** A meter's store whose every durable change goes into the truth, and whose forgetting is judged. */
export function watchMeterStore(store: MeterStore, options: WatchMeterOptions): MeterStore {
  const { truth, deviceId, disk } = options
  const meter = truth.meter(deviceId)
  let readings: Reading[] = []
  let blocks: OutboxItem[] = []
  let thinned: OutboxItem[] = []
  disk.onSafe = () => {
    for (const reading of readings.splice(0)) noteReading(truth, meter, reading)
    for (const block of blocks.splice(0)) noteBlock(options, meter, block)
    for (const block of thinned.splice(0)) noteThinned(truth, meter, block)
  }
  const undone = <T>(work: () => T): T => {
    try {
      return work()
    } catch (error) {
      readings = []
      blocks = []
      thinned = []
      throw error
    }
  }
  return {
    ...store,
    append(number, record) {
      const { reading } = decodeRecord(record)
      checkRegister(options, reading)
      readings.push(reading)
      undone(() => store.append(number, record))
    },
    seal(block, head) {
      blocks.push(block)
      undone(() => store.seal(block, head))
    },
    thin(block) {
      if (store.oldestWhole()?.last !== block.last) {
        truth.violation(`${deviceId} gave up readings to ${block.last} before older ones`)
      }
      thinned.push(block)
      undone(() => store.thin(block))
    },
    transaction(work) {
      const result = undone(() => store.transaction(work))
      if (store.whole() > options.maxBlocks) {
        truth.violation(`${deviceId} holds ${store.whole()} blocks, ${options.maxBlocks} allowed`)
      }
      return result
    },
    dropThrough(number) {
      checkForgotten(truth, meter, number)
      store.dropThrough(number)
    },
    refuse(first, last, code) {
      for (const block of meter.blocks) {
        if (block.first !== first || block.last !== last) continue
        block.excused ??= code
        block.refused = code
      }
      store.refuse(first, last, code)
    },
  }
}

/** A register that was read is what it really is; one that showed 0 adds nothing, then or later. */
function checkRegister({ truth, deviceId, source }: WatchMeterOptions, reading: Reading): void {
  if (!source.right) return
  const { importWh, exportWh } = source
  if (reading.importWh === importWh && reading.exportWh === exportWh) return
  const said = `${reading.importWh}+${reading.exportWh} Wh`
  truth.violation(`${deviceId} ${reading.number} says ${said}, is ${importWh}+${exportWh} Wh`)
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
    deviceId,
    first,
    last,
    body,
    startImportWh,
    startExportWh,
    readings,
    heldBy: new Set(),
    whole: false,
    thinned: false,
    excused: null,
    refused: null,
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
  truth.byBody.set(bodyKey(deviceId, body), { block, whole: true })
}

/** From now on what is signed about it may arrive alone. */
function noteThinned(truth: Truth, meter: MeterTruth, { last, body }: OutboxItem): void {
  const block = meter.blocks.findLast((candidate) => candidate.last === last)
  if (block === undefined) return
  block.thinned = true
  truth.byBody.set(bodyKey(meter.deviceId, body), { block, whole: false })
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
