/** The operator's side of enrolment at a cloud: what `pi prepare`, `fog claim` and others ask of it. */
import { toBase64Url } from '#bytes'
import { openApi, type HttpAccess } from './queries/http-source.ts'

export interface Approved {
  name: string
  /** ISO 8601. */
  expires: string
  /** Name of the cloud service. */
  cloud: string
}

/** @throws cli/unreachable, cli/unauthorized, cli/refused, … */
export function openEnrolments(access: HttpAccess) {
  const api = openApi(access)
  return {
    approve: ({ id, ...rest }: { id: Uint8Array; name: string; replace: boolean }) =>
      api.post<Approved>('api/v1/enrolments/approvals', { id: toBase64Url(id), ...rest }),
  }
}
