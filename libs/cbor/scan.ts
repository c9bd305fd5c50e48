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

interface Head {
  major: number
  argument: number
  end: number
}

/** RFC 8949 §3: major type, argument, and where the head ends. */
function readHead(bytes: Uint8Array, at: number): Head {
  const initial = bytes[at]
  if (initial === undefined) throw refuse('cbor/malformed', `input ends at byte ${at}`)
  const major = initial >> 5
  const info = initial & 31
  if (info < 24) return { major, argument: info, end: at + 1 }
  if (info === 31) throw refuse('cbor/not-deterministic', `indefinite length at byte ${at}`)
  if (info > 27) throw refuse('cbor/malformed', `reserved head at byte ${at}`)
  const width = 1 << (info - 24)
  const end = at + 1 + width
  if (end > bytes.length) throw refuse('cbor/malformed', `head at byte ${at} is cut short`)
  let argument = 0 // exact below 2^53; above that only its size matters here
  for (let i = at + 1; i < end; i++) argument = argument * 256 + (bytes[i] as number)
  const smallest = width === 1 ? 24 : 256 ** (width / 2)
  if (major !== 7 && argument < smallest)
    throw refuse('cbor/not-deterministic', `longer head than needed at byte ${at}`)
  return { major, argument, end }
}

/** Map keys are text or integers a JavaScript number holds exactly. */
function checkKey({ major, argument }: Head, at: number): void {
  const integer = major === 0 || major === 1
  if (major === 3 || (integer && argument <= Number.MAX_SAFE_INTEGER - major)) return
  throw refuse('cbor/malformed', `map key at byte ${at} is neither text nor a safe integer`)
}

/** End of a head together with its string content; containers and simple values have none. */
function endOfItem(head: Head, at: number, size: number): number {
  const { major, argument, end } = head
  if (major === 6) throw refuse('cbor/malformed', `tag at byte ${at}: tags are not used here`)
  // Only false, true and null; undefined, other simple values and floats are not used here.
  if (major === 7 && (end !== at + 1 || argument < 20 || argument > 22))
    throw refuse('cbor/malformed', `float or unknown simple value at byte ${at}`)
  if (major === 2 || major === 3) {
    if (argument > size - end) throw refuse('cbor/malformed', `string at byte ${at} is cut short`)
    return end + argument
  }
  return end
}

/** Items directly inside this one: entries of an array, keys plus values of a map. */
function childrenOf({ major, argument, end }: Head, at: number, size: number): number {
  if (major !== 4 && major !== 5) return 0
  const children = major === 5 ? argument * 2 : argument
  // Every item takes at least a byte: a false count is found before anything is allocated.
  if (children > size - end) throw refuse('cbor/malformed', `container at byte ${at} is cut short`)
  return children
}

/**
 * The position after the first data item of `bytes`.
 * @throws cbor/malformed, cbor/not-deterministic, cbor/too-deep, cbor/too-large
 */
export function scanItem(bytes: Uint8Array, limits: CborLimits = {}): number {
  const maximumDepth = limits.depth ?? DEFAULT_DEPTH
  const maximumSize = limits.size ?? DEFAULT_SIZE
  if (bytes.length > maximumSize)
    throw refuse('cbor/too-large', `${bytes.length} bytes; at most ${maximumSize} are read`)
  const open: { left: number; map: boolean }[] = []
  let at = 0
  for (;;) {
    const head = readHead(bytes, at)
    const parent = open.at(-1)
    if (parent?.map === true && parent.left % 2 === 0) checkKey(head, at)
    const end = endOfItem(head, at, bytes.length)
    const isContainer = head.major === 4 || head.major === 5
    if (isContainer && open.length >= maximumDepth)
      throw refuse('cbor/too-deep', `container at byte ${at} is nested deeper than ${maximumDepth}`)
    if (parent !== undefined) parent.left -= 1
    const children = childrenOf(head, at, bytes.length)
    if (children > 0) open.push({ left: children, map: head.major === 5 })
    while (open.at(-1)?.left === 0) open.pop()
    at = end
    if (open.length === 0) return at
  }
}
