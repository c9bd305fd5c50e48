import type { Approval, Enrolment, EnrolmentStore } from '#enrolment'
import type { Database } from '#sqlite'
import { createStatements, first, plain } from './statements.ts'

interface ApprovalRow {
  id: Uint8Array
  name: string
  expires_s: number
  replaces: number
  used_by: Uint8Array | null
}

interface EnrolmentRow {
  public_key: Uint8Array
  name: string
  replaces: number
  accepted_s: number
  credential: Uint8Array | null
}

/** Enrolments in the cloud's own file; see `EnrolmentStore` for what the methods mean. */
export function createEnrolmentStore(database: Database): EnrolmentStore {
  const db = createStatements(database)

  function saveApproval({ id, name, expiresS, replace, usedBy }: Approval): void {
    db.run('DELETE FROM approval WHERE name = ? AND used_by IS NULL', [name])
    db.run('INSERT OR REPLACE INTO approval VALUES (?, ?, ?, ?, ?)', [
      id,
      name,
      expiresS,
      Number(replace),
      usedBy,
    ])
  }

  function saveEnrolment(enrolment: Enrolment): void {
    const { publicKey, name, replace, acceptedS, credential } = enrolment
    db.run('INSERT OR REPLACE INTO enrolment VALUES (?, ?, ?, ?, ?)', [
      publicKey,
      name,
      Number(replace),
      acceptedS,
      credential,
    ])
  }

  return {
    approval(id) {
      const row = first(db.all<ApprovalRow>('SELECT * FROM approval WHERE id = ?', [id]))
      return row && approvalFrom(row)
    },
    saveApproval: (approval) => database.transaction(() => saveApproval(approval)),
    enrolment(publicKey) {
      const sql = 'SELECT * FROM enrolment WHERE public_key = ?'
      const row = first(db.all<EnrolmentRow>(sql, [publicKey]))
      return row && enrolmentFrom(row)
    },
    accept: (approvalId, enrolment) =>
      database.transaction(() => {
        db.run('UPDATE approval SET used_by = ? WHERE id = ?', [enrolment.publicKey, approvalId])
        saveEnrolment(enrolment)
      }),
    saveCredential: (publicKey, credential) =>
      database.transaction(() =>
        db.run('UPDATE enrolment SET credential = ? WHERE public_key = ?', [credential, publicKey]),
      ),
    enrolments: (limit) =>
      db
        .all<EnrolmentRow>('SELECT * FROM enrolment ORDER BY accepted_s DESC LIMIT ?', [limit])
        .map(enrolmentFrom),
  }
}

function approvalFrom(row: ApprovalRow): Approval {
  return {
    id: plain(row.id),
    name: row.name,
    expiresS: row.expires_s,
    replace: row.replaces === 1,
    usedBy: row.used_by && plain(row.used_by),
  }
}

function enrolmentFrom(row: EnrolmentRow): Enrolment {
  return {
    publicKey: plain(row.public_key),
    name: row.name,
    replace: row.replaces === 1,
    acceptedS: row.accepted_s,
    credential: row.credential && plain(row.credential),
  }
}
