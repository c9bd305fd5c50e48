/** One request to the cloud's enrolment endpoint, and what its answer means. */
import { readFileSync } from 'node:fs'
import { request as requestHttp, type IncomingMessage } from 'node:http'
import { request as requestHttps } from 'node:https'
import { fromBase64Url, toBase64Url } from '#bytes'
import { CodedError } from '#errors'

/** What the cloud said. Nobody vouches for it: a credential is checked, the rest only waited for. */
export type CloudAnswer =
  | { status: 'enrolled'; credential: Uint8Array }
  | { status: 'waiting'; for: string; retryMs: number }

export interface Endpoint {
  /** Base of the API. */
  url: string
  /** A file with certificates, instead of the system's. */
  ca?: string | undefined
}

const TIMEOUT_MS = 15_000
const LARGEST_ANSWER = 8_192
const [SOONEST_S, LATEST_S, USUAL_S] = [2, 300, 10]

/**
 * @throws pi/unreachable when it is worth trying again soon; the cloud's own code, or
 * pi/not-a-cloud, when somebody has to do something first
 */
export async function askCloud(endpoint: Endpoint, request: Uint8Array): Promise<CloudAnswer> {
  const url = new URL('api/v1/enrolments', withSlash(endpoint.url))
  const { response, text } = await post(url, endpoint, { request: toBase64Url(request) })
  const status = response.statusCode ?? 0
  const body = jsonOf(text)
  if (status === 200 && typeof body['credential'] === 'string')
    return { status: 'enrolled', credential: credentialOf(url, body['credential']) }
  if (status === 202) {
    const retryMs = retryMsOf(response)
    return { status: 'waiting', for: textOf(body['for'], 'approval'), retryMs }
  }
  throw refusalOf(url, status, body)
}

function refusalOf(url: URL, status: number, body: Record<string, unknown>): CodedError {
  const code = textOf(body['code'], '')
  const message = textOf(body['message'], '')
  if (status === 429 || status >= 500)
    return new CodedError('pi/unreachable', `${url.host} is busy or failing (${status})`)
  if (/^(enrolment|identity)\/[a-z-]+$/.test(code) && message !== '')
    return new CodedError(code, message)
  return new CodedError(
    'pi/not-a-cloud',
    `${url.href} answered ${status}, not like a cloud that enrols: does its configuration have ` +
      '[enrolment], and is [enrolment] url in node.toml its API?',
  )
}

function credentialOf(url: URL, text: string): Uint8Array {
  try {
    return fromBase64Url(text)
  } catch (error) {
    const message = `${url.host} answered with something else than a credential`
    throw new CodedError('pi/unreachable', message, { cause: error })
  }
}

/** Seconds by RFC 9110 §10.2.3, within reason. */
function retryMsOf(response: IncomingMessage): number {
  const wanted = Number(response.headers['retry-after'] ?? USUAL_S)
  const seconds = Number.isFinite(wanted) ? wanted : USUAL_S
  return 1_000 * Math.min(LATEST_S, Math.max(SOONEST_S, seconds))
}

function post(
  url: URL,
  { ca }: Endpoint,
  body: object,
): Promise<{ response: IncomingMessage; text: string }> {
  const request = url.protocol === 'https:' ? requestHttps : requestHttp
  const content = JSON.stringify(body)
  const headers = { 'content-type': 'application/json', 'content-length': content.length }
  return new Promise((resolve, reject) => {
    const failed = (error: unknown) => reject(unreachable(url, error))
    const signal = AbortSignal.timeout(TIMEOUT_MS)
    const trusted = ca === undefined ? {} : { ca: readFileSync(ca) }
    const sent = request(url, { method: 'POST', headers, signal, agent: false, ...trusted })
    sent.on('error', failed)
    sent.on('response', (response) => {
      readAll(response).then((text) => resolve({ response, text }), failed)
    })
    sent.end(content)
  })
}

async function readAll(response: IncomingMessage): Promise<string> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of response as AsyncIterable<Buffer>) {
    size += part.length
    if (size > LARGEST_ANSWER) throw new Error('the answer is too long')
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}

function unreachable(url: URL, error: unknown): CodedError {
  const { code, message } = error as NodeJS.ErrnoException
  return new CodedError('pi/unreachable', `no answer from ${url.origin} (${code ?? message})`, {
    cause: error,
  })
}

function jsonOf(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
  } catch {
    return {}
  }
}

function textOf(value: unknown, otherwise: string): string {
  return typeof value === 'string' ? value.slice(0, 500) : otherwise
}

function withSlash(url: string): string {
  return url.endsWith('/') ? url : `${url}/`
}
