import { createHash, timingSafeEqual } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { isIPv4 } from 'node:net'
import bearerAuth from '@fastify/bearer-auth'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { CodedError } from '#errors'
import { isCredential } from '#identity'
import { HttpError } from './errors.ts'

/** Says whether a presented token is the configured one. Holds only its SHA-256. */
export type TokenCheck = (presented: string) => boolean

const MIN_TOKEN_LENGTH = 16
const HASHED = /^sha256:([0-9a-f]{64})$/

/**
 * Reads `http.token_file`: one line, either the token itself or `sha256:` and its hash in hex, so
 * that the secret need not lie on this machine. Throws `http/token-…`; no message holds the token.
 */
export function loadToken(path: string): TokenCheck {
  const text = readTokenFile(path)
  const hashed = HASHED.exec(text)
  if (!hashed && text.length < MIN_TOKEN_LENGTH)
    throw new CodedError(
      'http/token-weak',
      `${path}: a token has at least ${MIN_TOKEN_LENGTH} characters; make one with: openssl rand -base64 32`,
    )
  const expected = hashed ? Buffer.from(hashed[1] ?? '', 'hex') : sha256(text)
  // Comparing hashes makes both sides equally long, and the comparison takes constant time.
  return (presented) => timingSafeEqual(sha256(presented), expected)
}

function readTokenFile(path: string): string {
  try {
    if ((statSync(path).mode & 0o077) !== 0 && !isCredential(path))
      throw new CodedError(
        'http/token-permissions',
        `${path} can be read by other users; run: chmod 600 ${path}`,
      )
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    if (error instanceof CodedError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new CodedError('http/token-unreadable', `http.token_file: ${reason}`, { cause: error })
  }
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}

/**
 * Without a token only programs on this machine may ask. A web page in a browser here could still
 * reach the port through a name that resolves to 127.0.0.1 (DNS rebinding), so the Host header must
 * name this machine.
 */
export function requireLocalHostName(app: FastifyInstance): void {
  app.addHook('onRequest', async (request) => {
    if (!isLoopbackName(request.hostname))
      throw new HttpError(403, 'http/wrong-host', 'ask for 127.0.0.1, [::1] or localhost')
  })
}

/** Routes that answer everyone: a device that has no credential yet has no token either. */
const openRoutes: readonly string[] = ['GET /healthz', 'POST /api/v1/enrolments']

function isOpen({ method, routeOptions }: FastifyRequest): boolean {
  const asked = method === 'HEAD' ? 'GET' : method
  return openRoutes.includes(`${asked} ${routeOptions.url}`)
}

export async function requireToken(app: FastifyInstance, check: TokenCheck): Promise<void> {
  // RFC 6749 takes "bearer" in any case, as RFC 9110 wants it of every scheme.
  const specCompliance = 'rfc6749'
  await app.register(bearerAuth, { keys: [], auth: check, addHook: false, specCompliance })
  const verify = app.verifyBearerAuth
  if (!verify) throw new CodedError('http/internal', 'the bearer token check is missing')
  app.addHook('onRequest', (request, reply, done) => {
    if (isOpen(request)) done()
    else verify(request, reply, done)
  })
}

interface Listen {
  host: string
  port: number
}

/** Throws `http/token-missing` when other machines could ask without a token. */
export function assertGuarded(http: { listen: Listen; tokenFile?: string | undefined }): void {
  if (http.tokenFile !== undefined || isLoopbackName(http.listen.host)) return
  throw new CodedError(
    'http/token-missing',
    `http.listen = "${addressText(http.listen)}" can be reached from other machines: set ` +
      'http.token_file to a file holding a secret token (mode 600), or listen on 127.0.0.1',
  )
}

/** As a configuration file has it. */
export function addressText({ host, port }: Listen): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** A name or address that cannot leave this machine. */
function isLoopbackName(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase()
  return bare === 'localhost' || bare === '::1' || (isIPv4(bare) && bare.startsWith('127.'))
}
