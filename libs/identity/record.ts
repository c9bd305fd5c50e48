/** The authority's append-only record of what it signed: one JSON object a line. */
import { fromUtf8 } from '#bytes'
import type { Role } from '#credential'
import { CodedError } from '#errors'
import { appendLine, readFile } from './files.ts'

/** One credential that was issued. `id`, `publicKey` and `credential` are base64url. */
export interface Enrolment {
  type: 'enrolled'
  timeS: number
  deviceId: string
  role: Role
  group: string
  id: string
  publicKey: string
  notAfterS: number
  credential: string
}

/** `ids` in base64url; `number` of the revocation list that carries them. */
interface Revocation {
  type: 'revoked'
  timeS: number
  deviceId: string
  ids: string[]
  number: number
}

/** First line: under which name this authority signs. */
interface Founding {
  type: 'authority'
  timeS: number
  name: string
  publicKey: string
}

type Entry = Enrolment | Revocation | Founding

export function appendEntry(path: string, entry: Entry): void {
  appendLine(path, JSON.stringify(entry))
}

/** @throws identity/missing, identity/damaged-record */
export function readRecord(path: string): { authorityName: string; enrolments: Enrolment[] } {
  const text = fromUtf8(
    readFile(path, 'create the authority first, or say where it is with --authority'),
  )
  const lines = text.split('\n')
  if (lines.pop() !== '')
    throw damaged(path, lines.length + 1, 'is incomplete; nothing was issued for it, delete it')
  const entries = lines.map((line, index) => parseEntry(path, line, index + 1))
  const [founding] = entries
  if (founding?.type !== 'authority') throw damaged(path, 1, 'does not name the authority')
  const enrolments = entries.filter((entry) => entry.type === 'enrolled')
  return { authorityName: founding.name, enrolments }
}

/** Every credential ever issued below this authority folder, oldest first. */
export function readEnrolments(authorityFolder: string): Enrolment[] {
  return readRecord(recordPath(authorityFolder)).enrolments
}

export function recordPath(authorityFolder: string): string {
  return `${authorityFolder}/enrolments.jsonl`
}

function parseEntry(path: string, line: string, number: number): Entry {
  try {
    const entry = JSON.parse(line) as Entry
    if (['authority', 'enrolled', 'revoked'].includes(entry.type)) return entry
  } catch {
    // falls through to the one error below
  }
  throw damaged(path, number, 'is not an entry of the record')
}

function damaged(path: string, line: number, what: string): CodedError {
  return new CodedError('identity/damaged-record', `${path}: line ${line} ${what}`)
}
