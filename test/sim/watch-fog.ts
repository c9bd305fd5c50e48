import type { FogStore, MeterRow } from '#fog'
import { itemOf } from '../../libs/fog-store/blob.ts'
import { decodeGroup } from '../../libs/fog-store/group.ts'
import type { Disk, Key } from './disk.ts'
import { detailIn, isDetail } from './fog-store.ts'
import { bodyKey, type FogTruth, type Truth } from './truth.ts'

export interface WatchFogOptions {
  truth: Truth
  deviceId: string
  disk: Disk
  /** The limit of its outbox. */
  maxItems: number
  /** True when a cloud holds this item durably, or has refused it and says so. */
  inCloud(fog: string, number: number, body: Uint8Array): boolean
}

/** A fog node's store whose every durable change goes into the truth, and whose forgetting is judged. */
export function watchFogStore(store: FogStore, options: WatchFogOptions): FogStore {
  const { truth, deviceId, disk } = options
  const fog = truth.fog(deviceId)
  disk.onSafe = (table, key, value) => {
    if (table === 'outbox') checkRoom(options, fog, Number(key), value === undefined)
    if (value === undefined) return
    if (table === 'group') {
      const { blocks } = value as { blocks: Uint8Array }
      for (const { meterId, body } of decodeGroup(blocks)) noteBlock(options, fog, meterId, body)
    } else if (table === 'outbox') {
      const item = itemOf((value as { body: Uint8Array }).body)
      if (item !== null) noteItem(truth, fog, Number(key), item)
    }
  }
  const { outbox } = store
  return {
    ...store,
    replaceDamaged(number, items) {
      store.replaceDamaged(number, items)
      // It goes under other numbers, or is lost and said to be: no cloud has to have it under this one.
      fog.items.delete(number)
    },
    outbox: {
      ...outbox,
      dropThrough(number) {
        checkForgotten(options, fog, number)
        outbox.dropThrough(number)
      },
    },
  }
}

function noteBlock(
  { truth, disk }: WatchFogOptions,
  fog: FogTruth,
  meterId: number,
  body: Uint8Array,
): void {
  const deviceId = disk.get<MeterRow>('meter', meterId)?.deviceId ?? ''
  const known = truth.byBody.get(bodyKey(deviceId, body))
  if (known === undefined) {
    truth.violation(`${fog.deviceId} stored a block that ${deviceId} never signed`)
    return
  }
  const { block, whole } = known
  block.whole ||= whole
  const held = fog.held.get(deviceId) ?? new Set()
  fog.held.set(deviceId, held)
  for (const { number } of block.readings) {
    if (held.has(number)) truth.violation(`${fog.deviceId} stored ${deviceId} ${number} twice`)
    held.add(number)
  }
  fog.log.push(block)
  block.heldBy.add(fog.deviceId)
}

/** Above the limit only what bills rest on, and what goes is the oldest of the rest. */
function checkRoom(
  { truth, disk, maxItems }: WatchFogOptions,
  fog: FogTruth,
  number: number,
  gone: boolean,
): void {
  if (fog.replaced > 0) return
  const rows = disk.rows<{ body: Uint8Array }>('outbox')
  const waits = (key: Key) => Number(key) > fog.acknowledged
  if (gone) {
    if (!waits(number) || disk.get('refused', number) !== undefined) return
    fog.givenUp.add(number)
    const item = fog.items.get(number)
    if (item !== undefined && !isDetail(item[1])) {
      truth.violation(`${fog.deviceId} gave up item ${number}, which is no detail`)
    }
    const older = [...rows].find(
      ([key, { body }]) => waits(key) && Number(key) < number && detailIn(body),
    )
    if (older !== undefined) {
      truth.violation(`${fog.deviceId} gave up item ${number} before the older ${older[0]}`)
    }
  } else if (rows.size > maxItems) {
    const held = [...rows].filter(([key]) => waits(key))
    if (held.length > maxItems && held.some(([, { body }]) => detailIn(body))) {
      truth.violation(`${fog.deviceId} holds ${held.length} items, may hold ${maxItems}`)
    }
  }
}

function noteItem(truth: Truth, fog: FogTruth, number: number, body: Uint8Array): void {
  const before = fog.items.get(number)
  if (before !== undefined && fog.replaced === 0) {
    truth.violation(`${fog.deviceId} used outbox number ${number} twice`)
  }
  fog.items.set(number, body)
}

/** What a fog node forgets because it was told that it is durable must be in a cloud, now. */
function checkForgotten(options: WatchFogOptions, fog: FogTruth, through: number): void {
  const { truth, deviceId } = options
  if (fog.replaced > 0) return
  for (let number = fog.acknowledged + 1; number <= through; number++) {
    const body = fog.items.get(number)
    if (body === undefined || fog.givenUp.has(number)) continue
    if (options.inCloud(deviceId, number, body)) continue
    truth.violation(`${deviceId} was told ${through}; no cloud holds its item ${number}`)
  }
  fog.acknowledged = Math.max(fog.acknowledged, through)
}
