/**
 * Finds where one data item ends, without recursion and without building anything. It runs before
 * the decoder proper, which recurses and would overflow the stack on deep nesting, and it decides
 * everything a head alone can tell: extents, depth, shortest form and the major types we refuse.
 */
import { refuse } from './errors.ts'

export interface CborLimits {
  /** Containers inside containers; a flat array has depth 1. Default 8. */
  depth?: number
  /** Bytes of input. Default 65536. */
  size?: number
}

export const DEFAULT_DEPTH = 8
export const DEFAULT_SIZE = 65_536

// The head last read: major type, argument, and where the head ends; nothing here awaits.
let major = 0
let argument = 0
let headEnd = 0

// The containers around it, outermost first: items still to come, and whether they are a map's.
const left: number[] = []
const inMap: boolean[] = []

/** RFC 8949 §3. */
function readHead(bytes: Uint8Array, at: number): void {
  const initial = bytes[at]
  if (initial === undefined) throw refuse('cbor/malformed', `input ends at byte ${at}`)
  major = initial >> 5
  const info = initial & 31
  if (info < 24) {
    argument = info
    headEnd = at + 1
    return
  }
  if (info === 31) throw refuse('cbor/not-deterministic', `indefinite length at byte ${at}`)
  if (info > 27) throw refuse('cbor/malformed', `reserved head at byte ${at}`)
  const width = 1 << (info - 24)
  headEnd = at + 1 + width
  if (headEnd > bytes.length) throw refuse('cbor/malformed', `head at byte ${at} is cut short`)
  argument = 0 // exact below 2^53; above that only its size matters here
  for (let i = at + 1; i < headEnd; i++) argument = argument * 256 + (bytes[i] as number)
  const smallest = width === 1 ? 24 : 256 ** (width / 2)
  if (major !== 7 && argument < smallest)
    throw refuse('cbor/not-deterministic', `longer head than needed at byte ${at}`)
}

/** Map keys are text or integers a JavaScript number holds exactly. */
function checkKey(at: number): void {
  const integer = major === 0 || major === 1
  if (major === 3 || (integer && argument <= Number.MAX_SAFE_INTEGER - major)) return
  throw refuse('cbor/malformed', `map key at byte ${at} is neither text nor a safe integer`)
}

/** End of the head together with its string content; containers and simple values have none. */
function endOfItem(at: number, size: number): number {
  if (major === 6) throw refuse('cbor/malformed', `tag at byte ${at}: tags are not used here`)
  // Only false, true and null; undefined, other simple values and floats are not used here.
  if (major === 7 && (headEnd !== at + 1 || argument < 20 || argument > 22))
    throw refuse('cbor/malformed', `float or unknown simple value at byte ${at}`)
  if (major === 2 || major === 3) {
    if (argument > size - headEnd)
      throw refuse('cbor/malformed', `string at byte ${at} is cut short`)
    return headEnd + argument
  }
  return headEnd
}

/** Items directly inside this one: entries of an array, keys plus values of a map. */
function childrenOf(at: number, size: number): number {
  if (major !== 4 && major !== 5) return 0
  const children = major === 5 ? argument * 2 : argument
  // Every item takes at least a byte: a false count is found before anything is allocated.
  if (children > size - headEnd)
    throw refuse('cbor/malformed', `container at byte ${at} is cut short`)
  return children
}

/**
 * The position after the data item that begins at `start`.
 * @throws cbor/malformed, cbor/not-deterministic, cbor/too-deep, cbor/too-large
 */
export function scanItem(bytes: Uint8Array, start: number, limits: CborLimits = {}): number {
  const maximumDepth = limits.depth ?? DEFAULT_DEPTH
  const maximumSize = limits.size ?? DEFAULT_SIZE
  if (bytes.length > maximumSize)
    throw refuse('cbor/too-large', `${bytes.length} bytes; at most ${maximumSize} are read`)
  let depth = 0
  let at = start
  do {
    readHead(bytes, at)
    if (depth > 0 && inMap[depth - 1] === true && (left[depth - 1] as number) % 2 === 0)
      checkKey(at)
    const end = endOfItem(at, bytes.length)
    const isContainer = major === 4 || major === 5
    if (isContainer && depth >= maximumDepth)
      throw refuse('cbor/too-deep', `container at byte ${at} is nested deeper than ${maximumDepth}`)
    if (depth > 0) left[depth - 1] = (left[depth - 1] as number) - 1
    const children = childrenOf(at, bytes.length)
    if (children > 0) {
      left[depth] = children
      inMap[depth] = major === 5
      depth += 1
    }
    while (depth > 0 && left[depth - 1] === 0) depth -= 1
    at = end
  } while (depth > 0)
  return at
}
