import type { CloudTx, CredentialEntry, RegisterEntry, RegisterFacts } from '#cloud'
import { fogKey } from './fog-tables.ts'
import { first, plain } from './statements.ts'
import type { Statements } from './statements.ts'

/** Who the meters are. */
export function credentialTables(db: Statements): Pick<CloudTx, 'credentials' | 'addCredential'> {
  return {
    credentials: (deviceId, limit) =>
      db
        .all<{ encoded: Uint8Array }>(
          `SELECT encoded FROM credential WHERE device = ?
           ORDER BY not_before_s DESC, id DESC LIMIT ?`,
          [deviceId, limit],
        )
        .map((row) => plain(row.encoded)),
    addCredential: (entry) => addCredential(db, entry),
  }
}

function addCredential(db: Statements, { fog, credential, receivedS }: CredentialEntry): void {
  const { deviceId, notBeforeS, encoded } = credential
  db.run(
    `INSERT INTO credential (device, not_before_s, received_s, encoded) VALUES (?, ?, ?, ?)
     ON CONFLICT (encoded) DO NOTHING`,
    [deviceId, notBeforeS, receivedS, encoded],
  )
  db.run(
    `INSERT INTO meter (name, fog, first_seen_s, last_seen_s) VALUES (?, ?, ?, ?)
     ON CONFLICT (name) DO UPDATE SET fog = excluded.fog, last_seen_s = excluded.last_seen_s`,
    [deviceId, fogKey(db, fog, receivedS), receivedS, receivedS],
  )
}

interface FactsRow {
  last: number
  end_s: number
  end_import_wh: number
  end_export_wh: number
  status: number
  flags: number
  digest: Uint8Array
}

type RegisterTables = Pick<
  CloudTx,
  'registersAt' | 'registerBefore' | 'registerAfter' | 'addRegister' | 'flagRegister'
>

/** What the meters signed. */
export function registerTables(db: Statements): RegisterTables {
  const ofMeter = `SELECT last, end_s, end_import_wh, end_export_wh, status, flags, digest
    FROM register
    WHERE meter = (SELECT id FROM meter WHERE name = ?)`
  return {
    registersAt: (name, last) =>
      db.all<FactsRow>(`${ofMeter} AND last = ? ORDER BY id`, [name, last]).map(factsFrom),
    registerBefore: (name, last) =>
      orNull(first(db.all(`${ofMeter} AND last < ? ORDER BY last DESC, id LIMIT 1`, [name, last]))),
    registerAfter: (name, last) =>
      orNull(first(db.all(`${ofMeter} AND last > ? ORDER BY last, id LIMIT 1`, [name, last]))),
    addRegister: (entry) => addRegister(db, entry),
    flagRegister: (name, { last, digest }, flags) =>
      db.run(
        `UPDATE register SET flags = ?
         WHERE meter = (SELECT id FROM meter WHERE name = ?) AND last = ? AND digest = ?`,
        [flags, name, last, digest],
      ),
  }
}

function factsFrom(row: FactsRow): RegisterFacts {
  return {
    last: row.last,
    endTimeS: row.end_s,
    endImportWh: row.end_import_wh,
    endExportWh: row.end_export_wh,
    status: row.status,
    flags: row.flags,
    digest: plain(row.digest),
  }
}

function addRegister(db: Statements, entry: RegisterEntry): void {
  const { statement: s, credential, fog, number, receivedS, flags, digest, envelope } = entry
  const key = fogKey(db, fog, receivedS)
  const place = [s.deviceId, key, number, receivedS]
  const times = [s.first, s.last, s.startTimeS, s.endTimeS]
  const registers = [s.startImportWh, s.startExportWh, s.endImportWh, s.endExportWh]
  db.run(
    `INSERT INTO register (meter, fog, number, received_s, first, last, start_s, end_s,
       start_import_wh, start_export_wh, end_import_wh, end_export_wh, status, flags, credential,
       digest, envelope)
     VALUES ((SELECT id FROM meter WHERE name = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
       (SELECT id FROM credential WHERE encoded = ?), ?, ?)`,
    [...place, ...times, ...registers, s.status, flags, credential.encoded, digest, envelope],
  )
  db.run('UPDATE meter SET fog = ?, last_seen_s = ? WHERE name = ?', [key, receivedS, s.deviceId])
  if (entry.newest)
    db.run('UPDATE meter SET newest = last_insert_rowid() WHERE name = ?', [s.deviceId])
}

function orNull(row: FactsRow | null): RegisterFacts | null {
  return row ? factsFrom(row) : null
}
