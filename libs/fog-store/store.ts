import { randomInt } from 'node:crypto'
import { addChecksum } from '#bytes'
import { defaults } from '#defaults'
import type { BlockGroup, Checkpoint, Commit, FogStore, Loaded, MeterRow, Receipts } from '#fog'
import { readMark, writeMark, type BackupMark, type Database } from '#sqlite'
import { contentOf, itemOf } from './blob.ts'
import { encodeGroup, readGroup } from './group.ts'
import { openOutbox, type SqliteOutbox } from './outbox.ts'
import { openReceipts } from './receipts.ts'
import { openFogDatabase } from './schema.ts'

export interface SqliteFogStore extends FogStore {
  /** How far each cloud node has acknowledged the outbox. */
  readonly receipts: Receipts
  /** Set when this store was restored from a backup and nothing has been done about that yet. */
  readonly restored: BackupMark | null
  /** Settles that, with items for the outbox: its numbers are in doubt until the cloud's welcome. */
  settleRestored(items: readonly Uint8Array[]): void
  /** Random, made with the file: what tells its outbox numbers from those of a store that was lost. */
  readonly id: number
  /** Refused items no longer kept, since the start: the newest `defaults.refusedKept` are. */
  refusedForgotten(): number
  /** One small durable write, to know that the disk still takes them. */
  probe(): void
  /** Moves the WAL into the file; call every few minutes and before `close`. */
  shrink(): void
  close(): void
}

const throughName = 'checkpoint'
const storeName = 'store'
const saveMetaSql =
  'INSERT INTO meta (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value'

/**
 * Opens (and creates) the store of the fog node `device`, its outbox limited to `maxOutboxItems`.
 * Throws `sqlite/…`.
 */
export function openFogStore(
  path: string,
  clock: { now(): number },
  maxOutboxItems: number = defaults.outbox.fogItems,
  device?: string,
): SqliteFogStore {
  const db = openFogDatabase(path, false, device)
  const outbox = openOutbox(db, maxOutboxItems)
  const receipts = openReceipts(db)
  const nowS = () => Math.max(0, Math.floor(clock.now() / 1000))
  /** A transaction after which the outbox in memory equals the one on disk, also when it failed. */
  const transact = <T>(work: () => T): T => {
    try {
      const result = db.transaction(() => {
        outbox.clean()
        receipts.save()
        return work()
      })
      outbox.committed()
      return result
    } catch (error) {
      outbox.reload()
      receipts.unsaved()
      throw error
    }
  }
  let restored = readMark(db)
  return {
    receipts,
    get restored() {
      return restored
    },
    settleRestored(items) {
      transact(() => {
        writeMark(db, null)
        outbox.append(items, nowS())
        outbox.doubt()
      })
      restored = null
    },
    id: storeId(db),
    load: () => load(db),
    groupsAfter: (id, limit) => groupsAfter(db, id, limit),
    commit: commitWith(db, outbox, transact, nowS),
    checkpoint: checkpointWith(db, outbox, transact, nowS),
    gaps: () => gapsIn(db),
    prune: (beforeS) =>
      transact(() => {
        pruneGaps(db, beforeS)
        return prune(db, beforeS)
      }),
    outbox,
    backlog: () => outbox.backlog(),
    refusedForgotten: () => outbox.refusedForgotten(),
    damaged: () => outbox.damaged(),
    replaceDamaged: (number, items) =>
      transact(() => {
        outbox.removeDamaged(number)
        outbox.append(items, nowS())
      }),
    sizeBytes: () => sizeBytes(db),
    probe: () => transact(() => db.probe()),
    shrink: () => void db.checkpoint(),
    close: () => {
      db.checkpoint()
      db.close()
    },
  }
}

function storeId(db: Database): number {
  const known = metaValue(db, storeName)
  if (known !== 0) return known
  const made = randomInt(1, 2 ** 48 - 1)
  db.transaction(() => void db.prepare(saveMetaSql).run(storeName, made))
  return made
}

function load(db: Database): Loaded {
  return {
    meters: db
      .prepare<MeterRow>(
        'SELECT id, device_id AS deviceId, credential, state FROM meter ORDER BY id',
      )
      .all()
      .map((row) => {
        return {
          ...row,
          credential: contentOf(`the credential of ${row.deviceId}`, row.credential),
        }
      }),
    windows: db
      .prepare<{ startS: number; state: Uint8Array }>(
        'SELECT start_s AS startS, state FROM window ORDER BY start_s',
      )
      .all(),
    throughId: metaValue(db, throughName),
  }
}

function metaValue(db: Database, name: string): number {
  return (
    db.prepare<{ value: number }>('SELECT value FROM meta WHERE name = ?').get(name)?.value ?? 0
  )
}

function groupsAfter(db: Database, id: number, limit: number): BlockGroup[] {
  return db
    .prepare<{ id: number; at: number; blocks: Uint8Array }>(
      'SELECT id, at, blocks FROM block WHERE id > ? ORDER BY id LIMIT ?',
    )
    .all(id, limit)
    .map((row) => ({ id: row.id, committedS: row.at, ...readGroup(row.blocks) }))
}

type Transact = <T>(work: () => T) => T

function commitWith(
  db: Database,
  outbox: SqliteOutbox,
  transact: Transact,
  nowS: () => number,
): FogStore['commit'] {
  const insertBlock = db.prepare('INSERT INTO block (id, at, blocks) VALUES (?, ?, ?)')
  const saveMeter = db.prepare(
    'INSERT INTO meter (id, device_id, credential) VALUES (?, ?, ?) ' +
      'ON CONFLICT (id) DO UPDATE SET credential = excluded.credential',
  )
  // Not max(id) + 1 of the table alone: pruning may have emptied it, and ids must not come twice.
  const newest = db.prepare<{ id: number | null }>('SELECT max(id) AS id FROM block').get()?.id ?? 0
  let lastId = Math.max(newest, metaValue(db, throughName))
  return ({ committedS, blocks, meters, items }: Commit) => {
    const id = blocks.length > 0 ? lastId + 1 : lastId
    transact(() => {
      for (const row of meters) {
        saveMeter.run(row.id, row.deviceId, addChecksum(row.credential))
      }
      if (blocks.length > 0) insertBlock.run(id, committedS, encodeGroup(blocks))
      outbox.append(items, nowS())
    })
    lastId = id
    return id
  }
}

function checkpointWith(
  db: Database,
  outbox: SqliteOutbox,
  transact: Transact,
  nowS: () => number,
): FogStore['checkpoint'] {
  const saveState = db.prepare('UPDATE meter SET state = ? WHERE id = ?')
  const removeWindow = db.prepare('DELETE FROM window WHERE start_s = ?')
  const saveWindow = db.prepare(
    'INSERT INTO window (start_s, state) VALUES (?, ?) ' +
      'ON CONFLICT (start_s) DO UPDATE SET state = excluded.state',
  )
  const saveGap = db.prepare(
    'INSERT INTO gap (key, at, body) VALUES (?, ?, ?) ' +
      'ON CONFLICT (key) DO UPDATE SET at = excluded.at, body = excluded.body',
  )
  const saveMeta = db.prepare(saveMetaSql)
  return ({ throughId, meters, windows, items, gaps, lostFromS }: Checkpoint) =>
    transact(() => {
      for (const { id, state } of meters) saveState.run(state, id)
      for (const startS of windows.removed) removeWindow.run(startS)
      for (const { startS, state } of windows.rows) saveWindow.run(startS, state)
      for (const { key, body } of gaps) saveGap.run(key, nowS(), addChecksum(body))
      saveMeta.run(throughName, throughId)
      // Before the items: what they push out is lost again.
      if (lostFromS !== undefined) outbox.setLostFrom(lostFromS)
      outbox.append(items, nowS())
    })
}

/** Ranges kept at most, so that a meter that makes nothing but holes does not fill the card. */
const gapsKept = 10_000

function gapsIn(db: Database): Uint8Array[] {
  const rows = db.prepare<{ body: Uint8Array }>('SELECT body FROM gap ORDER BY at, key').all()
  return rows.flatMap(({ body }) => itemOf(body) ?? [])
}

function pruneGaps(db: Database, beforeS: number): void {
  db.prepare('DELETE FROM gap WHERE at < ?').run(beforeS)
  db.prepare(
    'DELETE FROM gap WHERE key IN (SELECT key FROM gap ORDER BY at DESC LIMIT -1 OFFSET ?)',
  ).run(gapsKept)
}

/** From the oldest on, stopping at the first group that is young enough or needed for a restart. */
function prune(db: Database, beforeS: number): number {
  const oldest = db.prepare<{ id: number; at: number }>(
    'SELECT id, at FROM block WHERE id <= ? ORDER BY id LIMIT 1000',
  )
  const remove = db.prepare('DELETE FROM block WHERE id <= ?')
  const through = metaValue(db, throughName)
  let pruned = 0
  for (;;) {
    const rows = oldest.all(through)
    const young = rows.findIndex(({ at }) => at >= beforeS)
    const old = young < 0 ? rows : rows.slice(0, young)
    const last = old.at(-1)
    if (last === undefined) return pruned
    remove.run(last.id)
    pruned += old.length
    if (young >= 0) return pruned
  }
}

function sizeBytes(db: Database): number {
  const pages = db.prepare<{ page_count: number }>('PRAGMA page_count').get()?.page_count ?? 0
  const size = db.prepare<{ page_size: number }>('PRAGMA page_size').get()?.page_size ?? 0
  return pages * size
}
