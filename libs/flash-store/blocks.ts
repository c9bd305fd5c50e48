/** Where the signed blocks are, oldest first. Two numbers a block: this is a chip's memory. */
export interface Blocks {
  readonly count: number
  /** Of these, the ones that still have their readings. */
  readonly whole: number
  /** Adds a block, or says that it is somewhere else now or has lost its readings. */
  put(last: number, place: number, thin: boolean): void
  remove(last: number): void
  dropThrough(last: number): void
  /** Undefined behind the newest. */
  lastAt(index: number): number | undefined
  placeAt(index: number): number
  isThin(index: number): boolean
  /** The first one that ends at `last` or later; `count` when there is none. */
  from(last: number): number
}

export function createBlocks(): Blocks {
  const lasts: number[] = []
  /** Place and, in the lowest bit, whether the readings are gone. */
  const places: number[] = []
  let thinned = 0

  function from(last: number): number {
    let [low, high] = [0, lasts.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (lasts[middle]! < last) low = middle + 1
      else high = middle
    }
    return low
  }

  function cut(index: number, count: number): void {
    for (let i = index; i < index + count; i++) thinned -= places[i]! & 1
    lasts.splice(index, count)
    places.splice(index, count)
  }

  return {
    get count() {
      return lasts.length
    },
    get whole() {
      return lasts.length - thinned
    },
    put(last, place, thin) {
      const index = from(last)
      if (lasts[index] === last) cut(index, 1)
      lasts.splice(index, 0, last)
      places.splice(index, 0, 2 * place + (thin ? 1 : 0))
      if (thin) thinned += 1
    },
    remove(last) {
      const index = from(last)
      if (lasts[index] === last) cut(index, 1)
    },
    dropThrough: (last) => cut(0, from(last + 1)),
    lastAt: (index) => lasts[index],
    placeAt: (index) => Math.floor(places[index]! / 2),
    isThin: (index) => (places[index]! & 1) === 1,
    from,
  }
}
