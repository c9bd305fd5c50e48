import { toBase64Url } from '#bytes'
import { registerFlagNames } from '#cloud'
import { statusNames } from '#reading'
import { isoTime } from './time.ts'

/** A meter's signed statement with what the cloud thinks of it. */
export interface RegisterView {
  id: number
  meter: string
  fog: string
  first: number
  last: number
  start: string
  end: string
  startImportWh: number
  startExportWh: number
  endImportWh: number
  endExportWh: number
  status: string[]
  flags: string[]
  received: string
  /** The meter's COSE_Sign1 over all of this, and the credential to verify it by; base64url. */
  cose: string
  credential: string
}

export interface RegisterViewRow {
  id: number
  meter_name: string
  fog_name: string
  first: number
  last: number
  start_s: number
  end_s: number
  start_import_wh: number
  start_export_wh: number
  end_import_wh: number
  end_export_wh: number
  status: number
  flags: number
  received_s: number
  envelope: Uint8Array
  encoded: Uint8Array
}

export function registerView(row: RegisterViewRow): RegisterView {
  return {
    id: row.id,
    meter: row.meter_name,
    fog: row.fog_name,
    first: row.first,
    last: row.last,
    start: isoTime(row.start_s),
    end: isoTime(row.end_s),
    startImportWh: row.start_import_wh,
    startExportWh: row.start_export_wh,
    endImportWh: row.end_import_wh,
    endExportWh: row.end_export_wh,
    status: statusNames(row.status),
    flags: registerFlagNames(row.flags),
    received: isoTime(row.received_s),
    cose: toBase64Url(row.envelope),
    credential: toBase64Url(row.encoded),
  }
}

/** Something worth knowing that happened. */
export interface EventView {
  id: number
  /** Who noticed: the fog, or the cloud while taking its items. */
  source: string
  fog: string
  code: string
  time: string
  device: string | null
  detail: string
  received: string
}

export interface EventViewRow {
  id: number
  source: string
  fog_name: string
  code: string
  time_s: number
  device: string | null
  detail: string
  received_s: number
}

export function eventView(row: EventViewRow): EventView {
  return {
    id: row.id,
    source: row.source,
    fog: row.fog_name,
    code: row.code,
    time: isoTime(row.time_s),
    device: row.device,
    detail: row.detail,
    received: isoTime(row.received_s),
  }
}
