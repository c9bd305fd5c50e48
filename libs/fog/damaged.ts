import { decodeCredential } from '#credential'
import { decodeItem, encodeItem, type Item } from '#messages'
import { peekRegister } from '#reading'
import { wallS, type Core } from './core.ts'
import { blocksFrom } from './log.ts'
import type { Meter } from './meter.ts'
import { registerItem, statementAgain } from './registers.ts'
import { everythingAgain } from './repair.ts'
import { withdrawnItem } from './withdrawal.ts'

/** A damaged outbox item, as far as this node can tell what it was. */
export interface DamagedReport {
  /** Its number in the outbox. */
  number: number
  /** In words, e.g. `a register of meter-1 up to reading 480`. */
  what: string
  deviceId: string | null
  /** Nothing in the store says the same: the cloud will not get it. */
  lost: boolean
}

interface Finding extends Omit<DamagedReport, 'number'> {
  /** What goes instead. */
  again: Uint8Array[]
}

/**
 * A damaged item must not stop those behind it. It leaves the outbox, and what it said goes again:
 * figures from what else the store holds (windows, meters, the log), never from the damaged bytes. An
 * event tells the cloud of it, and the number is named as a hole with the items that follow. Throws what
 * the store throws, with nothing changed.
 */
export function replaceDamaged(core: Core): void {
  const damaged = core.store.damaged()
  if (damaged === null) return
  const { number } = damaged
  const { again, ...found } = findingOf(core, readable(damaged.body))
  const outcome = found.lost ? 'it is lost' : 'made again'
  const detail = `outbox item ${number}, ${found.what}, was damaged on disk: ${outcome}`
  const { deviceId } = found
  const event = { code: 'item-damaged', timeS: wallS(core), deviceId, detail }
  core.store.replaceDamaged(number, [...again, encodeItem({ type: 'event', event })])
  core.counters.events += 1
  core.counters.damagedItems[found.lost ? 'lost' : 'madeAgain'] += 1
  core.onDamagedItem?.({ number, ...found })
}

function readable(body: Uint8Array | null): Item | null {
  return body && attempt(() => decodeItem(body))
}

function findingOf(core: Core, item: Item | null): Finding {
  switch (item?.type) {
    case 'summary':
      return summaryOf(core, item.summary.startS) ?? unknown(core)
    case 'register':
      return registerOf(core, item.envelope) ?? unknown(core)
    case 'credential':
      return credentialOf(core, item.cwt) ?? unknown(core)
    case 'withdrawn':
      return withdrawnOf(core, item.withdrawn) ?? unknown(core)
    case 'gap':
      return asRead(core, item, `a range of readings (${item.gap.kind})`, item.gap.deviceId)
    case 'event':
      return asRead(core, item, `an event ${item.event.code}`, item.event.deviceId)
    case 'fogStatus':
      return {
        what: 'a status, for which there is a newer one',
        deviceId: null,
        again: [],
        lost: false,
      }
    default:
      return unknown(core)
  }
}

/** What describes, and counts for nothing: better as it reads, with the damage told, than not at all. */
function asRead(core: Core, item: Item, what: string, about: string | null): Finding {
  const deviceId = meterOf(core, about)?.deviceId ?? null
  return { what, deviceId, again: [encodeItem(item)], lost: false }
}

/** It could have been anything: all that can be made again goes again, and the cloud knows what it has. */
function unknown(core: Core): Finding {
  const again = everythingAgain(core)
  const what = `unreadable; ${again.length} items go again in case it was one of them`
  return { what, deviceId: null, again, lost: true }
}

function meterOf(core: Core, deviceId: string | null): Meter | undefined {
  return deviceId === null ? undefined : core.meters.get(deviceId)
}

/** The newest revision has everything an older one had; of a window not summed up it is still to come. */
function summaryOf(core: Core, startS: number): Finding | null {
  const summary = core.windows.lastIssued().find((issued) => issued.startS === startS)
  const held = summary ?? core.windows.snapshot().find((row) => row.startS === startS)
  if (held === undefined) return null
  const again = summary === undefined ? [] : [encodeItem({ type: 'summary', summary })]
  return { what: `a summary of the window from ${startS}`, deviceId: null, again, lost: false }
}

function registerOf(core: Core, envelope: Uint8Array): Finding | null {
  const said = attempt(() => peekRegister(envelope))
  const meter = meterOf(core, said?.deviceId ?? null)
  if (said === null || meter === undefined) return null
  const { deviceId } = meter
  const what = `a register of ${deviceId} up to reading ${said.last}`
  if (meter.stated?.last === said.last)
    return { what, deviceId, again: statementAgain(meter), lost: false }
  const item = registerFromLog(core, meter, said.last)
  if (item !== null) return { what, deviceId, again: [item], lost: false }
  return { what, deviceId, again: statementAgain(meter), lost: true }
}

/** The meter's signature over its readings up to `last` lies in the log until it is pruned. */
function registerFromLog(core: Core, meter: Meter, last: number): Uint8Array | null {
  const run = meter.runs.findLast(({ first }) => first <= last)
  if (run === undefined) return null
  for (const block of blocksFrom(core, meter, run)) {
    if (block === null || block.statement.last > last) return null
    if (block.statement.last === last) return registerItem(meter, { ...block, from: run.first })
  }
  return null
}

function credentialOf(core: Core, cwt: Uint8Array): Finding | null {
  const meter = meterOf(core, attempt(() => decodeCredential(cwt))?.deviceId ?? null)
  if (meter === undefined || meter.storedCredential === null) return null
  const again = [encodeItem({ type: 'credential', cwt: meter.storedCredential })]
  const { deviceId } = meter
  return { what: `the credential of ${deviceId}`, deviceId, again, lost: false }
}

function withdrawnOf(
  core: Core,
  { deviceId, first }: Extract<Item, { type: 'withdrawn' }>['withdrawn'],
): Finding | null {
  const run = meterOf(core, deviceId)?.runs.find((candidate) => candidate.first === first)
  if (run === undefined || run.withdrawn < first) return null
  const what = `that readings ${first} to ${run.withdrawn} of ${deviceId} are not counted here`
  return { what, deviceId, again: [withdrawnItem(deviceId, run)], lost: false }
}

function attempt<T>(work: () => T): T | null {
  try {
    return work()
  } catch {
    return null
  }
}
