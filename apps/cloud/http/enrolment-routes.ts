import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { fromBase64Url, toBase64Url } from '#bytes'
import { isoTime } from '#cloud-store'
import type { Credential } from '#credential'
import { defaults } from '#defaults'
import {
  claimCode,
  fingerprintOf,
  type Enrolment,
  type EnrolmentDesk,
  type EnrolmentStore,
} from '#enrolment'
import { nativeCrypto } from '#crypto-native'

/** What the routes need of the cloud. */
export interface EnrolmentService {
  /** Name of this cloud service, for the node's configuration. */
  cloud: string
  desk: EnrolmentDesk
  store: EnrolmentStore
  /** Judges a credential that was signed elsewhere. @throws credential/… */
  readCredential(encoded: Uint8Array): Credential
}

interface ApprovalBody {
  id: string
  name: string
  replace?: boolean
}

/** Most enrolments in one answer, newest first. */
const LISTED = 1_000
/** When a device that waits asks again. */
const RETRY_S = 10

const failures = { '4xx': { $ref: 'Error#' }, '5xx': { $ref: 'Error#' } }
const base64url = (maxLength: number) =>
  ({ type: 'string', pattern: '^[A-Za-z0-9_-]+$', maxLength }) as const

/**
 * `POST /api/v1/enrolments` is for everybody, so it takes little and takes it slowly; the others are
 * for whoever holds the token of the API.
 */
export function addEnrolmentRoutes(app: FastifyInstance, service: EnrolmentService): void {
  addAskRoute(app, service)
  addApprovalRoute(app, service)
  addCredentialRoute(app, service)
  app.get(
    '/api/v1/enrolments',
    { schema: schemaOf('Who was enrolled, who waits, and what was refused.', 'Enrolments') },
    () => listOf(service),
  )
}

function schemaOf(summary: string, answer: string, body?: object): object {
  const response = { 200: { $ref: `${answer}#` }, 202: { $ref: `${answer}#` }, ...failures }
  return { summary, ...(body !== undefined && { body }), response }
}

function bodyOf(properties: Record<string, object>, required: readonly string[]): object {
  return { type: 'object', properties, required, additionalProperties: false }
}

function addAskRoute(app: FastifyInstance, { desk }: EnrolmentService): void {
  const body = bodyOf({ request: base64url(700) }, ['request'])
  const schema = schemaOf('A new fog node asks for its credential.', 'EnrolmentAnswer', body)
  const config = { rateLimit: { max: defaults.http.enrolmentsPerMinute, timeWindow: 60_000 } }
  app.post<{ Body: { request: string } }>(
    '/api/v1/enrolments',
    { schema, config },
    (request, reply) => {
      const answer = desk.ask(fromBase64Url(request.body.request), request.ip)
      if (answer.status === 'enrolled')
        return { status: answer.status, credential: toBase64Url(answer.credential) }
      return waiting(reply, answer.for)
    },
  )
}

function waiting(reply: FastifyReply, reason: 'approval' | 'signature'): object {
  void reply.code(202).header('retry-after', RETRY_S)
  return { status: 'waiting', for: reason }
}

function addApprovalRoute(app: FastifyInstance, { desk, cloud }: EnrolmentService): void {
  const name = { type: 'string', pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$' }
  const id = { ...base64url(43), description: 'A token’s public key, or a fingerprint.' }
  const body = bodyOf({ id, name, replace: { type: 'boolean' } }, ['id', 'name'])
  const schema = schemaOf('Allows one key to have a name, within 24 hours.', 'Approval', body)
  app.post(
    '/api/v1/enrolments/approvals',
    { schema },
    (request: FastifyRequest<{ Body: ApprovalBody }>) => {
      const approval = { replace: false, ...request.body, id: fromBase64Url(request.body.id) }
      const expiresS = desk.approve(approval)
      return { name: approval.name, expires: isoTime(expiresS), cloud }
    },
  )
}

function addCredentialRoute(app: FastifyInstance, service: EnrolmentService): void {
  const body = bodyOf({ credential: base64url(400) }, ['credential'])
  const schema = schemaOf('Hands in a credential that was signed elsewhere.', 'Enrolment', body)
  app.post(
    '/api/v1/enrolments/credentials',
    { schema },
    (request: FastifyRequest<{ Body: { credential: string } }>) => {
      const credential = service.readCredential(fromBase64Url(request.body.credential))
      service.desk.deliver(credential)
      const enrolment = service.store.enrolment(credential.publicKey)
      return enrolment === null ? null : viewOf(enrolment)
    },
  )
}

function listOf({ desk, store }: EnrolmentService): object {
  return {
    items: store.enrolments(LISTED).map(viewOf),
    waiting: desk.waiting().map(({ publicKey, lastS, ...rest }) => ({
      ...rest,
      publicKey: toBase64Url(publicKey),
      last: isoTime(lastS),
    })),
    refused: desk.refusals().map(({ timeS, code, ...rest }) => ({
      ...rest,
      reason: code,
      time: isoTime(timeS),
    })),
  }
}

function viewOf({ publicKey, name, replace, acceptedS, credential }: Enrolment): object {
  return {
    name,
    code: claimCode(fingerprintOf(nativeCrypto, publicKey)),
    publicKey: toBase64Url(publicKey),
    replace,
    accepted: isoTime(acceptedS),
    signed: credential !== null,
  }
}
