import { encodeItem } from '#messages'
import { registerEnvelope, type Block } from '#reading'
import { windowEnd } from '#window'
import type { Meter } from './meter.ts'

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
  const { last, endTimeS } = statement
  if (last <= meter.forwarded) return
  const newest = meter.registers.at(-1)
  const sameWindow =
    newest !== undefined &&
    windowEnd(newest.endTimeS, windowSeconds) === windowEnd(endTimeS, windowSeconds)
  if (sameWindow) meter.registers.pop()
  meter.registers.push({ last, endTimeS, statement, signature, notedMs: nowMs })
  if (meter.registers.length > maxWaiting) meter.registers.shift()
}

/**
 * The items that bring the cloud up to the newest signed statement ending by `throughS` or waiting
 * since `notedByMs`, as one of a clock that is ahead does: the meter's credential first, once, then
 * the statement. Nothing when there is no newer one.
 */
export function forwardStatement(meter: Meter, throughS: number, notedByMs: number): Uint8Array[] {
  const index = meter.registers.findLastIndex(
    ({ endTimeS, notedMs }) => endTimeS <= throughS || notedMs <= notedByMs,
  )
  const entry = meter.registers[index]
  if (entry === undefined) return []
  const items: Uint8Array[] = []
  if (!meter.credentialSent && meter.storedCredential !== null) {
    items.push(encodeItem({ type: 'credential', cwt: meter.storedCredential }))
    meter.credentialSent = true
  }
  items.push(encodeItem({ type: 'register', envelope: registerEnvelope(entry) }))
  meter.registers.splice(0, index + 1)
  meter.forwarded = entry.last
  meter.dirty = true
  return items
}
