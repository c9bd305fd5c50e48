import type { SendItem } from './types.ts'

export interface PackOptions {
  /** Upper bound for the bodies put into one payload; a single larger item travels alone. */
  maxBytes: number
  /** Makes one payload of bodies numbered `first`, `first + 1`, …; `gapFrom` as in `SendItem`. */
  encode(first: number, bodies: readonly Uint8Array[], gapFrom: number | null): Uint8Array
}

interface Group {
  first: number
  bodies: Uint8Array[]
  bytes: number
  gapFrom: number | null
}

/**
 * A `frame` function for single-number items: puts neighbours into one payload. A hole in the
 * numbers starts a new payload, because a payload names only its first number, and says what is
 * missing before that.
 */
export function packItems(options: PackOptions): (items: readonly SendItem[]) => Uint8Array[] {
  return (items) => {
    const groups: Group[] = []
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
        const { first, body, gapFrom } = item
        groups.push({ first, bodies: [body], bytes: body.length, gapFrom })
      }
    }
    return groups.map((group) => options.encode(group.first, group.bodies, group.gapFrom))
  }
}
