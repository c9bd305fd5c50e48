import { inRange, integerAt, malformed } from './reading.ts'

/**
 * What a meter without the time does know: which start of its clock this is, and how long ago that
 * was. One pair (anchor, true time) of a boot dates every other anchor of the same boot.
 */
export interface Anchor {
  /** Random number of this boot, from 0 to 2^53 − 1: the same for all readings of one boot. */
  boot: number
  /** Seconds of the monotonic clock from that boot to the reading the anchor belongs to. */
  ageS: number
}

/** A hundred years and more: a device that runs longer may start a new boot. */
const maxAgeS = 2 ** 32

/** Throws `reading/bad-value` unless both are integers in their range. Returns its argument. */
export function checkAnchor(anchor: Anchor): Anchor {
  inRange('boot', anchor.boot, 0, Number.MAX_SAFE_INTEGER)
  inRange('ageS', anchor.ageS, 0, maxAgeS)
  return anchor
}

/** [boot, ageS], as it lies in statements, bodies and messages. */
export function anchorValues({ boot, ageS }: Anchor): number[] {
  return [boot, ageS]
}

/** The mirror of `anchorValues`, from a decoded value. Throws `reading/malformed` or `reading/bad-value`. */
export function anchorFrom(value: unknown): Anchor {
  if (!Array.isArray(value) || value.length !== 2) throw malformed('an anchor has two values')
  const values = value.map((one) => (typeof one === 'number' ? one : null))
  return checkAnchor({ boot: integerAt(values, 0), ageS: integerAt(values, 1) })
}

/** Both absent, or both the same. */
export function sameAnchor(a: Anchor | undefined, b: Anchor | undefined): boolean {
  return a?.boot === b?.boot && a?.ageS === b?.ageS
}
