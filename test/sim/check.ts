import { checkWindows } from './check-windows.ts'
import {
  cloudHolds,
  eventsOf,
  missingRanges,
  refusedOf,
  registersOf,
  totalsOf,
} from './cloud-view.ts'
import { rottenBlock } from './truth.ts'
import type { World } from './world.ts'

/** What the final account counts, beside the violations it adds to the truth. */
export interface Account {
  readings: number
  blocks: number
  windows: number
  /** Readings that two fog nodes hold, because a meter moved before it heard the first one's receipt. */
  heldTwice: number
  refusedMeasurements: number
  excused: number
  /** Items that had to make room in a fog node's outbox. */
  itemsGivenUp: number
  /** Blocks whose readings a meter gave up because it had no room. */
  givenUp: number
}

/** The account after everything has healed and drained: nothing lost, nothing counted twice. */
export function checkEnd(world: World): Account {
  checkDelivered(world)
  const windows = checkWindows(world)
  checkRegisters(world)
  checkTotals(world)
  checkReports(world)
  checkGivenUp(world)
  checkRoomMade(world)
  const blocks = [...world.truth.meters.values()].flatMap((meter) => meter.blocks)
  return {
    readings: blocks.reduce((sum, block) => sum + block.readings.length, 0),
    blocks: blocks.length,
    windows,
    heldTwice: blocks
      .filter((block) => block.heldBy.size > 1)
      .reduce((sum, block) => sum + block.readings.length, 0),
    refusedMeasurements: world.meters.reduce((sum, { refused }) => sum + refused, 0),
    givenUp: blocks.filter(({ thinned, whole }) => thinned && !whole).length,
    itemsGivenUp: world.fogs.reduce((n, fog) => n + world.truth.fog(fog.deviceId).givenUp.size, 0),
    excused: blocks.filter((block) => block.excused !== null).length,
  }
}

/** Every signed block is at a fog node; with two of them only where a meter moved. */
function checkDelivered({ truth, plan }: World): void {
  for (const meter of truth.meters.values()) {
    for (const block of meter.blocks) {
      const which = `${meter.deviceId} ${block.first} to ${block.last}`
      if (block.heldBy.size === 0 && block.excused === null && !meter.forked) {
        truth.violation(`${which} is at no fog node`)
      }
      if (block.heldBy.size > 1 && plan.everyHours.move === 0) {
        truth.violation(`${which} is at two fog nodes`)
      }
    }
  }
}

/** Every register in the cloud says what its meter said, and the newest is the meter's last. */
function checkRegisters({ truth, clouds, fogs, meters }: World): void {
  const registers = registersOf(clouds)
  // A lost disk takes with it what was not passed on yet; the meter's next register would say it.
  const lost = fogs.some(({ deviceId }) => truth.fog(deviceId).replaced > 0)
  for (const [deviceId, entries] of registers) {
    const meter = truth.meter(deviceId)
    for (const { statement } of entries) {
      const said = meter.blocks.filter(({ last }) => last === statement.last)
      const same = said.some(({ readings }) => {
        const end = readings.at(-1)
        return end?.importWh === statement.endImportWh && end?.exportWh === statement.endExportWh
      })
      if (!same) truth.violation(`${deviceId} never signed a register at ${statement.last}`)
    }
  }
  for (const { deviceId } of meters) {
    const last = truth.meter(deviceId).blocks.findLast(({ excused }) => excused === null)
    const newest = Math.max(0, ...(registers.get(deviceId) ?? []).map((e) => e.statement.last))
    if (last !== undefined && newest !== last.last && !(lost && newest < last.last)) {
      truth.violation(`the cloud's register of ${deviceId} is of ${newest}, not of ${last.last}`)
    }
  }
}

function checkTotals({ truth, fogs, clouds }: World): void {
  for (const { deviceId } of fogs) {
    for (const { kept, summed } of totalsOf(clouds, deviceId)) {
      const [a, b] = [JSON.stringify(kept), JSON.stringify(summed)]
      if (a !== b) truth.violation(`the cloud's totals of ${deviceId} are ${a}, should be ${b}`)
    }
  }
}

/** Reports of damage where none was done are wrong too. */
const alarming =
  /^(conflict|bad-signature|start-registers|chain-break|not-summed-up|register-(backwards|conflict|jump|restarted))/

function checkReports(world: World): void {
  const { truth, clouds, fogs, rotten, plan } = world
  const damaged = rotten.length > 0 || fogs.some(({ deviceId }) => truth.fog(deviceId).replaced > 0)
  if (damaged) return
  for (const { deviceId, blocks } of truth.meters.values()) {
    for (const { first, last, refused } of blocks) {
      if (refused !== null) truth.violation(`${deviceId} ${first} to ${last} refused: ${refused}`)
    }
  }
  for (const { fog, number, code } of refusedOf(clouds)) {
    // A second cloud asks for the credential a few times; a bad line can lose every answer. The next
    // register of that meter asks again: `checkRegisters` wants the newest one there.
    if (code === 'register/unknown-meter' && clouds.length > 1 && plan.weather.loss > 0) continue
    truth.violation(`the cloud refused item ${number} of ${fog}: ${code}`)
  }
  for (const { code, fog, deviceId, detail } of eventsOf(clouds)) {
    if (alarming.test(code)) truth.violation(`${fog} reports ${code} of ${deviceId}: ${detail}`)
  }
}

/** Readings that nobody will ever see are listed, each of them. */
function checkGivenUp({ truth, clouds, fogs }: World): void {
  if (fogs.some(({ deviceId }) => truth.fog(deviceId).replaced > 0)) return
  for (const { deviceId, blocks } of truth.meters.values()) {
    const listed = missingRanges(clouds, deviceId)
    for (const { first, last, whole, heldBy, excused } of blocks) {
      const given = heldBy.size > 0 && excused === null
      if (whole || (!given && excused !== rottenBlock)) continue
      const known = listed.some((gap) => gap.first <= first && gap.last >= last)
      if (!known) truth.violation(`${deviceId} ${first} to ${last} is missing and in no list`)
    }
  }
}

/** Each number that never came because its item made room is named: on its way, or at a new session. */
function checkRoomMade({ truth, clouds, fogs, lost }: World): void {
  if (lost.length > 0) return
  for (const { deviceId } of fogs) {
    const { givenUp, items, acknowledged, replaced } = truth.fog(deviceId)
    if (replaced > 0) continue
    const named = eventsOf(clouds).flatMap(({ code, fog, detail }) => {
      const [, from, to] = /^outbox numbers (\d+) to (\d+)/.exec(detail) ?? []
      const names = code === 'items-given-up' || code === 'gap'
      return names && from !== undefined && fog === deviceId ? [[Number(from), Number(to)]] : []
    })
    for (const number of givenUp) {
      const known = named.some(([from, to]) => from! <= number && number <= to!)
      const body = items.get(number)
      if (known || number > acknowledged || body === undefined) continue
      if (cloudHolds(clouds, deviceId, number, body)) continue
      truth.violation(`item ${number} of ${deviceId} made room and is in no list`)
    }
  }
}
