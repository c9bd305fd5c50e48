import type { SendItem } from './types.ts'

export interface PackOptions {
  /** Upper bound for the bodies put into one payload; a single larger item travels alone. */
  maxBytes: number
  /** Makes one payload of bodies numbered `first`, `first + 1`, … */
  encode(first: number, bodies: readonly Uint8Array[]): Uint8Array
}

/**
 * A `frame` function for single-number items: puts neighbours into one payload. A hole in the
 * numbers starts a new payload, because a payload names only its first number.
 */
export function packItems(options: PackOptions): (items: readonly SendItem[]) => Uint8Array[] {
  return (items) => {
    const groups: { first: number; bodies: Uint8Array[]; bytes: number }[] = []
    for (const item of items) {
      const group = groups.at(-1)
      const fits =
        group !== undefined &&
        group.first + group.bodies.length === item.first &&
        group.bytes + item.body.length <= options.maxBytes
      if (fits) {
        group.bodies.push(item.body)
        group.bytes += item.body.length
      } else {
        groups.push({ first: item.first, bodies: [item.body], bytes: item.body.length })
      }
    }
    return groups.map((group) => options.encode(group.first, group.bodies))
  }
}
