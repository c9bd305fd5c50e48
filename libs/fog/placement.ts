import { equal } from '#bytes'
import type { Statement } from '#reading'
import type { Meter, Position, RecentBlock } from './meter.ts'

/**
 * Where a block belongs in what is known of its meter:
 *
 *   next      continues it (or starts anew where the meter said that older numbers are gone)
 *   early     numbers before it are still to come: ask for them
 *   repeat    the same block again, durable or on its way
 *   old       durable, but too long ago to compare
 *   conflict  other content under numbers that are taken
 *   undecided the same, but what took them has not been verified: the one or the other is wrong
 *   start     continues the chain but misstates the registers it started from
 */
export type Placement = 'next' | 'early' | 'repeat' | 'old' | 'conflict' | 'undecided' | 'start'

/** Pure: nothing is changed, and the signature has not been looked at. */
export function placeBlock(meter: Meter, statement: Statement): Placement {
  const { tip } = meter
  if (statement.first > tip.number + 1) {
    return statement.first - 1 <= meter.givenUpThrough ? 'next' : 'early'
  }
  if (statement.last <= tip.number) return compareKnown(meter, statement)
  if (statement.first <= tip.number) {
    // Only numbers the meter never used may lie below the tip: it was told to jump past them.
    return skipsThrough(statement, tip.number) ? 'next' : contradiction(meter, statement)
  }
  return continues(tip, statement) && !startsAt(tip, statement) ? 'start' : 'next'
}

/** True when the statement's chain goes on exactly where `tip` ends. */
export function continues(tip: Position, statement: Statement): boolean {
  return (
    statement.first === tip.number + 1 &&
    tip.chain !== null &&
    equal(tip.chain, statement.previousChain)
  )
}

function startsAt(tip: Position, statement: Statement): boolean {
  return (
    tip.importWh === null ||
    (tip.importWh === statement.startImportWh && tip.exportWh === statement.startExportWh)
  )
}

function skipsThrough(statement: Statement, number: number): boolean {
  const range = statement.skipped[0]
  return range !== undefined && range[0] === statement.first && range[1] >= number
}

function compareKnown(meter: Meter, statement: Statement): Placement {
  const pending = meter.pending.map(({ block }) => block.statement)
  const overlapping = [...meter.recent, ...pending].filter((known) => overlaps(known, statement))
  if (overlapping.length === 0) return 'old'
  const same = overlapping.every((known) => sameBlock(known, statement))
  return same ? 'repeat' : contradiction(meter, statement)
}

/** A block put together from live readings may be wrong; only what is verified contradicts anything. */
function contradiction(meter: Meter, statement: Statement): 'conflict' | 'undecided' {
  const verified = meter.pending.filter(({ state }) => state === 'ready')
  const sure = [...meter.recent, ...verified.map(({ block }) => block.statement)]
  const contradicted = sure.some(
    (known) => overlaps(known, statement) && !sameBlock(known, statement),
  )
  const unsure = meter.pending.some(
    ({ state, block }) => state === 'verifying' && overlaps(block.statement, statement),
  )
  return unsure && !contradicted ? 'undecided' : 'conflict'
}

function overlaps(known: Pick<RecentBlock, 'first' | 'last'>, statement: Statement): boolean {
  return known.first <= statement.last && known.last >= statement.first
}

/** The chain covers every field of every reading, so equal chains are equal blocks. */
function sameBlock(known: RecentBlock, statement: Statement): boolean {
  return (
    known.first === statement.first &&
    known.last === statement.last &&
    equal(known.chain, statement.chain)
  )
}
