import { encodeItem } from '#messages'
import { registerEnvelope, type Block } from '#reading'
import { windowEnd } from '#window'
import type { Meter, PendingRegister } from './meter.ts'

/** More windows than this cannot be waiting; the oldest statement is the least useful one. */
const maxWaiting = 64

/** Remembers a committed block's statement, the newest per window. */
export function noteStatement(
  meter: Meter,
  block: Block,
  windowSeconds: number,
  nowMs: number,
): void {
  const { statement, signature } = block
  const { last, startTimeS, endTimeS } = statement
  if (last <= meter.forwarded) return
  const run = meter.runs.at(-1)
  const from = run === undefined || run.ended ? null : run.first
  const newest = meter.registers.at(-1)
  const replaces =
    newest !== undefined &&
    newest.from === from &&
    windowEnd(newest.endTimeS, windowSeconds) === windowEnd(endTimeS, windowSeconds)
  if (replaces) meter.registers.pop()
  const sinceS = replaces ? Math.min(newest.startTimeS, startTimeS) : startTimeS
  const times = { startTimeS: sinceS, endTimeS, notedMs: nowMs }
  meter.registers.push({ last, statement, signature, from, ...times })
  if (meter.registers.length <= maxWaiting) return
  const dispensable = meter.registers.findIndex((_, index) => !endsRun(meter.registers, index))
  meter.registers.splice(Math.max(0, dispensable), 1)
}

/** The last statement of its run: without it the cloud would not know how far this node counts. */
function endsRun(registers: readonly PendingRegister[], index: number): boolean {
  const next = registers[index + 1]
  return next !== undefined && next.from !== registers[index]?.from
}

/**
 * The items that bring the cloud up to the newest signed statement ending by `throughS` or waiting
 * since `notedByMs`, as one of a clock that is ahead does: the meter's credential first, once, then
 * the statement, behind those that end earlier runs. Behind it the one whose block only began by then:
 * its first readings are in windows the cloud gets, and it must know that they are counted. Nothing
 * when there is no newer one.
 */
export function forwardStatement(meter: Meter, throughS: number, notedByMs: number): Uint8Array[] {
  const index = meter.registers.findLastIndex(
    ({ endTimeS, notedMs }) => endTimeS <= throughS || notedMs <= notedByMs,
  )
  const counted = meter.registers.findLastIndex(({ startTimeS }) => startTimeS <= throughS)
  const through = Math.max(index, counted)
  const entry = meter.registers[through]
  if (entry === undefined) return []
  const items: Uint8Array[] = []
  if (!meter.credentialSent && meter.storedCredential !== null) {
    items.push(encodeItem({ type: 'credential', cwt: meter.storedCredential }))
    meter.credentialSent = true
  }
  for (const [at, register] of meter.registers.slice(0, through + 1).entries()) {
    if (at !== index && at !== through && !endsRun(meter.registers, at)) continue
    items.push(registerItem(meter, register))
  }
  meter.registers.splice(0, through + 1)
  meter.forwarded = entry.last
  meter.stated = entry
  meter.dirty = true
  return items
}

/** The items that brought the cloud where it should be about this meter, once more. */
export function statementAgain(meter: Meter): Uint8Array[] {
  const { stated, storedCredential } = meter
  if (stated === null || storedCredential === null) return []
  return [encodeItem({ type: 'credential', cwt: storedCredential }), registerItem(meter, stated)]
}

/** A signed statement as an item; `from` as in `PendingRegister`. */
export function registerItem(
  { runs }: Meter,
  register: Pick<PendingRegister, 'statement' | 'signature' | 'from'>,
): Uint8Array {
  const { from } = register
  const envelope = registerEnvelope(register)
  if (from === null) return encodeItem({ type: 'register', envelope })
  const { withdrawn = 0 } = runs.find(({ first }) => first === from) ?? {}
  return encodeItem({ type: 'register', envelope, from, ...(withdrawn >= from && { withdrawn }) })
}
