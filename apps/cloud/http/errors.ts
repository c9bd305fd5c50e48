import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import { CodedError } from '#errors'

/** An answer other than 200, on purpose. */
export class HttpError extends CodedError {
  readonly statusCode: number

  constructor(statusCode: number, code: string, message: string) {
    super(code, message)
    this.statusCode = statusCode
  }
}

/** Every error leaves as `{code, message}`; what went wrong inside goes to the log only. */
export function answerError(
  error: FastifyError | CodedError,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  const { status, code, message } = describe(error, reply.statusCode)
  if (status >= 500 && !(error instanceof HttpError))
    request.log.error({ err: error }, 'request failed')
  void reply.code(status).send({ code, message })
}

/** What is not here is the cloud's own trouble: 500, and in its log. */
const enrolmentStatus: Readonly<Record<string, number>> = {
  'enrolment/malformed': 400,
  'enrolment/bad-proof': 403,
  'enrolment/unknown-token': 403,
  'enrolment/wrong-name': 403,
  'enrolment/not-asked': 404,
  'enrolment/token-used': 409,
  'enrolment/expired': 410,
  'identity/already-enrolled': 409,
  'bytes/bad-base64url': 400,
  'credential/malformed': 400,
  'credential/untrusted': 403,
}

interface Described {
  status: number
  code: string
  message: string
}

function describe(error: FastifyError | CodedError, replyStatus: number): Described {
  const { code, message } = error
  if (error instanceof HttpError) return { status: error.statusCode, code, message }
  if (error instanceof CodedError && code.startsWith('query/'))
    return { status: 400, code, message }
  const enrolment = error instanceof CodedError ? enrolmentStatus[code] : undefined
  if (enrolment !== undefined) return { status: enrolment, code, message }
  if ('validation' in error && error.validation)
    return { status: 400, code: 'http/bad-request', message }
  const status = ('statusCode' in error ? error.statusCode : undefined) ?? replyStatus
  if (status === 401) return unauthorized
  if (status >= 400 && status < 500)
    return { status, code: `http/${slug(STATUS_CODES[status] ?? 'refused')}`, message }
  return { status: 500, code: 'http/internal', message: 'internal error; see the log' }
}

const unauthorized: Described = {
  status: 401,
  code: 'http/unauthorized',
  message: 'send "Authorization: Bearer <token>" with the token from http.token_file',
}

/** What node's parser cannot make a request of; there is no reply object to send with. */
export function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const { status, message } = brokenRequests[error.code ?? ''] ?? malformed
  const text = STATUS_CODES[status] ?? ''
  const body = JSON.stringify({ code: `http/${slug(text)}`, message })
  const head = ['content-type: application/json', `content-length: ${body.length}`]
  socket.end(
    [`HTTP/1.1 ${status} ${text}`, ...head, 'connection: close', '', body].join('\r\n'),
    () => socket.destroy(),
  )
}

const malformed = { status: 400, message: 'this is no HTTP/1.1 request' }

const brokenRequests: Readonly<Record<string, typeof malformed>> = {
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, message: 'the request did not arrive in time' },
  HPE_HEADER_OVERFLOW: { status: 431, message: 'address and headers are too long' },
}

function slug(text: string): string {
  return text.toLowerCase().replaceAll(/[^a-z]+/g, '-')
}

export function answerNotFound(_request: FastifyRequest, reply: FastifyReply): void {
  void reply
    .code(404)
    .send({ code: 'http/not-found', message: 'no such resource; see /api/v1/openapi.json' })
}
