import { addChecksum, unflip } from '#bytes'
import { codeOf, CodedError } from '#errors'
import type { BlockGroup, BlockRow } from '#fog'
import { contentOf } from './blob.ts'

/** Meter id and length of the body, four bytes each. */
const HEAD = 8

/** The blocks of one commit, each as meter id ‖ length ‖ body (big-endian, no padding). */
export function encodeGroup(blocks: readonly BlockRow[]): Uint8Array {
  const out = new Uint8Array(blocks.reduce((sum, { body }) => sum + HEAD + body.length, 0))
  const view = new DataView(out.buffer)
  let at = 0
  for (const { meterId, body } of blocks) {
    view.setUint32(at, meterId)
    view.setUint32(at + 4, body.length)
    out.set(body, at + HEAD)
    at += HEAD + body.length
  }
  return addChecksum(out)
}

/** The mirror of `encodeGroup`; bodies are views into `bytes`. Throws `fog/store-damaged`. */
export function decodeGroup(stored: Uint8Array): BlockRow[] {
  return split(contentOf('a group of blocks', stored))
}

/** The same where damage is no reason to stop; see `BlockGroup`. */
export function readGroup(stored: Uint8Array): Pick<BlockGroup, 'blocks' | 'mended'> {
  const blocks = unlessDamaged(() => decodeGroup(stored))
  if (blocks !== null) return { blocks, mended: false }
  const meant = unflip(stored)
  const mended = meant === null ? null : unlessDamaged(() => split(meant))
  return { blocks: mended, mended: mended !== null }
}

function unlessDamaged<T>(read: () => T): T | null {
  try {
    return read()
  } catch (error) {
    if (codeOf(error) !== 'fog/store-damaged') throw error
    return null
  }
}

function split(bytes: Uint8Array): BlockRow[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const rows: BlockRow[] = []
  let at = 0
  while (at < bytes.length) {
    if (at + HEAD > bytes.length) throw damaged()
    const start = at + HEAD
    const end = start + view.getUint32(at + 4)
    if (end > bytes.length) throw damaged()
    rows.push({ meterId: view.getUint32(at), body: bytes.subarray(start, end) })
    at = end
  }
  return rows
}

function damaged(): CodedError {
  return new CodedError('fog/store-damaged', 'a group of blocks in the store is damaged')
}
