import type { Crypto } from '#crypto'
import { decodeBlock, type Block } from '#reading'
import { decodeGroup } from './group.ts'
import { openFogDatabase } from './schema.ts'

/** One durable block with whose it is and when it was committed (wall clock, s). */
export interface JournalEntry {
  groupId: number
  committedS: number
  deviceId: string
  block: Block
}

/**
 * All blocks a store still holds, oldest first, to `visit`; for inspection, from another process if
 * need be. Signatures are not checked. Throws `sqlite/…`, `fog/store-damaged`, `reading/…`.
 */
export function readJournal(
  path: string,
  crypto: Pick<Crypto, 'sha256'>,
  visit: (entry: JournalEntry) => void,
): void {
  const db = openFogDatabase(path, true)
  try {
    const meters = db.prepare<{ id: number; deviceId: string }>(
      'SELECT id, device_id AS deviceId FROM meter',
    )
    const names = new Map(meters.all().map(({ id, deviceId }) => [id, deviceId]))
    const page = db.prepare<{ id: number; at: number; blocks: Uint8Array }>(
      'SELECT id, at, blocks FROM block WHERE id > ? ORDER BY id LIMIT 100',
    )
    let rows = page.all(0)
    while (rows.length > 0) {
      for (const row of rows) {
        for (const { meterId, body } of decodeGroup(row.blocks)) {
          const deviceId = names.get(meterId) ?? `meter ${meterId}`
          const block = decodeBlock(crypto, body, deviceId)
          visit({ groupId: row.id, committedS: row.at, deviceId, block })
        }
      }
      rows = page.all(rows.at(-1)?.id ?? 0)
    }
  } finally {
    db.close()
  }
}
