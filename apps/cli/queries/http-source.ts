import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { SummaryView } from '#cloud-store'
import { CodedError } from '#errors'
import { serverSentEvents } from './server-sent-events.ts'
import type { QuerySource, WatchFilters } from './source.ts'

export interface HttpAccess {
  url: string
  tokenFile?: string
}

const TIMEOUT_MS = 15_000
const RECONNECT_MS = 2_000
const LOOPBACK = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

/** Questions and orders to a cloud's API; answers are what the caller says they are. */
interface Api {
  base: URL
  headers: Record<string, string>
  get: <T>(path: string, filters?: object) => Promise<T>
  post: <T>(path: string, body: object) => Promise<T>
}

/** @throws cli/bad-url, cli/no-token, cli/bad-token; its methods cli/unreachable, cli/refused, … */
export function openApi(access: HttpAccess): Api {
  const base = baseUrl(access.url)
  const headers = authorization(access.tokenFile, base)
  const send = async <T>(url: URL, init: RequestInit): Promise<T> => {
    const response = await request(url, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) })
    return (await json(response, base)) as T
  }
  return {
    base,
    headers,
    get: (path, filters = {}) => send(apiUrl(base, path, filters), { headers }),
    post: (path, body) =>
      send(apiUrl(base, path, {}), {
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
  }
}

/** Asks the cloud's HTTP API. */
export function openHttpSource(access: HttpAccess): QuerySource {
  const { base, headers, get } = openApi(access)
  return {
    summaries: (filters) => get('api/v1/summaries', filters),
    fogs: (filters) => get('api/v1/fogs', filters),
    meters: (filters) => get('api/v1/meters', filters),
    gaps: (filters) => get('api/v1/gaps', filters),
    status: () => get('api/v1/status'),
    watch: (filters, signal) => watch(base, headers, filters, signal),
    close: () => undefined,
  }
}

function baseUrl(text: string): URL {
  const url = URL.parse(text.endsWith('/') ? text : `${text}/`)
  if (url && (url.username !== '' || url.password !== '')) {
    const message = `the address of ${url.host} has a user name in it; the token goes into a file: --token-file`
    throw new CodedError('cli/bad-url', message)
  }
  if (url && (url.protocol === 'http:' || url.protocol === 'https:')) return url
  const message = `"${text}" is no address; write http://HOST:PORT`
  throw new CodedError('cli/bad-url', message)
}

function apiUrl(base: URL, path: string, filters: object): URL {
  const url = new URL(path, base)
  for (const [key, value] of Object.entries(filters))
    if (value !== undefined) url.searchParams.set(key, String(value))
  return url
}

function authorization(tokenFile: string | undefined, base: URL): Record<string, string> {
  if (tokenFile === undefined) return {}
  let token: string
  try {
    token = readFileSync(tokenFile, 'utf8').trim()
  } catch (error) {
    const message = `cannot read the token in ${tokenFile}; check --token-file or FOGMETER_TOKEN_FILE`
    throw new CodedError('cli/no-token', message, { cause: error })
  }
  if (!/^[\x21-\x7e]+$/.test(token)) {
    const message = `${tokenFile} does not hold a token: one line without spaces`
    throw new CodedError('cli/bad-token', message)
  }
  if (base.protocol === 'http:' && !LOOPBACK.test(base.hostname))
    process.stderr.write(`warning: the token travels to ${base.host} unencrypted; use https\n`)
  return { authorization: `Bearer ${token}` }
}

async function request(url: URL, init: RequestInit): Promise<Response> {
  let response: Response
  try {
    response = await fetch(url, { ...init, redirect: 'error' })
  } catch (error) {
    throw unreachable(url, error)
  }
  if (response.ok) return response
  throw await refusal(response)
}

function unreachable(url: URL, error: unknown): CodedError {
  const reason = reasonOf(error)
  const message =
    `no answer from ${url.origin} (${reason}): is the cloud running? Start it with ` +
    '"fogmeter cloud run --config FILE", name another with --url, or read its file with --store PATH'
  return new CodedError('cli/unreachable', message, { cause: error })
}

/** fetch hides the system's reason (ECONNREFUSED and friends) in the cause. */
function reasonOf(error: unknown): string {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string') return cause.code
  return cause instanceof Error ? cause.message : String(cause)
}

async function refusal(response: Response): Promise<CodedError> {
  const { status } = response
  const body = (await response.json().catch(() => null)) as { message?: unknown } | null
  const detail = typeof body?.message === 'string' ? body.message : response.statusText
  if (status === 401) {
    const message = 'the cloud wants a token: give --token-file FILE or set FOGMETER_TOKEN_FILE'
    return new CodedError('cli/unauthorized', message)
  }
  if (status === 404 && new URL(response.url).pathname.includes('/enrolments')) {
    const message = 'this cloud enrols nobody: its configuration needs a section [enrolment]'
    return new CodedError('cli/refused', message)
  }
  if (status === 400) return new CodedError('cli/usage', detail)
  const isOurs = typeof body?.message === 'string'
  const hint = isOurs ? '' : '; is this a Fogmeter cloud? Check --url'
  return new CodedError('cli/refused', `the cloud answered ${status}: ${detail}${hint}`)
}

async function json(response: Response, base: URL): Promise<unknown> {
  try {
    return await response.json()
  } catch (error) {
    const message = `${base.origin} does not answer like a Fogmeter cloud; check --url`
    throw new CodedError('cli/not-a-cloud', message, { cause: error })
  }
}

/** Follows the stream; after an interruption it goes on behind the last revision it saw. */
async function* watch(
  base: URL,
  headers: Record<string, string>,
  { fog, after }: WatchFilters,
  signal: AbortSignal,
): AsyncGenerator<SummaryView> {
  let last = after
  let connected = false
  while (!signal.aborted) {
    try {
      const url = apiUrl(base, 'api/v1/summaries/stream', { fog, after: last })
      const response = await request(url, { headers, signal })
      connected = true
      for await (const event of serverSentEvents(response)) {
        if (event.event !== 'summary') continue
        const view = JSON.parse(event.data) as SummaryView
        last = view.id
        yield view
      }
    } catch (error) {
      // The first attempt tells the user what is wrong; later ones are worth repeating.
      if (!connected && !signal.aborted) throw error
    }
    if (signal.aborted) return
    process.stderr.write('the stream ended; connecting again\n')
    await sleep(RECONNECT_MS, undefined, { signal }).catch(() => undefined)
  }
}
