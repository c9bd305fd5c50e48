/** The operator's side of enrolment at a cloud: what `pi prepare`, `fog claim` and others ask of it. */
import { toBase64Url } from '#bytes'
import { openApi, type HttpAccess } from './queries/http-source.ts'

/** As the API lists them; see its `Enrolments`. */
export interface EnrolmentList {
  items: EnrolmentView[]
  waiting: { code: string; name: string | null; origin: string; last: string }[]
  refused: { reason: string; name: string | null; key: string; origin: string; time: string }[]
}

export interface EnrolmentView {
  name: string
  code: string
  publicKey: string
  replace: boolean
  accepted: string
  signed: boolean
}

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
  const path = 'api/v1/enrolments'
  return {
    list: () => api.get<EnrolmentList>(path),
    deliver: (credential: Uint8Array) =>
      api.post(`${path}/credentials`, { credential: toBase64Url(credential) }),
    approve: ({ id, ...rest }: { id: Uint8Array; name: string; replace: boolean }) =>
      api.post<Approved>(`${path}/approvals`, { id: toBase64Url(id), ...rest }),
  }
}
