/**
 * Which counters have been accepted, RFC 9147 §4.5.1. A ring as in RFC 6479, so that nothing is ever
 * shifted; its slots hold counters instead of bits.
 */

/**
 * Counter `c` lives in slot `c mod size`, and the slot remembers which counter was accepted last.
 * Within the window every slot belongs to one counter, so nothing ever needs clearing.
 */
export interface ReplayWindow {
  /** Highest counter marked; -1 at the start. */
  newest: number
  readonly slots: number[]
}

export function createWindow(size: number): ReplayWindow {
  return { newest: -1, slots: Array.from({ length: size }, () => -1) }
}

/** Looks without marking: a record that turns out to be forged must leave no trace. */
export function checkWindow(window: ReplayWindow, counter: number): 'new' | 'replay' | 'stale' {
  const { newest, slots } = window
  if (counter > newest) return 'new'
  if (counter <= newest - slots.length) return 'stale'
  return slots[counter % slots.length] === counter ? 'replay' : 'new'
}

/** Only for a counter that is 'new' and whose record was opened. */
export function markWindow(window: ReplayWindow, counter: number): void {
  window.slots[counter % window.slots.length] = counter
  if (counter > window.newest) window.newest = counter
}
