import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { checkServerIdentity, connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { defaults } from '#defaults'
import type { Clock } from '#ports'

/** What a connection needs whose machine may not know the time. */
export interface Undated {
  readonly clock: Pick<Clock, 'now'>
  /** The certificate was taken without its dates; they are to be judged once the clock is set. */
  onTaken(dates: Dates): void
}

/** When all certificates of a chain are valid, ms since 1970. */
export interface Dates {
  readonly fromMs: number
  readonly untilMs: number
}

type CertificateError = Error & { code: string }

/** RFC 5280 §4.2.1.12, id-kp-serverAuth. */
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'

/**
 * TLS to `host`, its certificate judged by OpenSSL. Errors appear on the stream.
 *
 * A Pi boots in 1970, where no certificate has begun yet. Who answers is proved by EDHOC inside, so
 * on a machine that knows that it does not know the time, a certificate which lacks nothing but that
 * is taken. OpenSSL cannot say so: of several objections it names only the last, and one to a date
 * hides one to the authority. Hence this is limited to what can be checked here without doubt: a
 * certificate that one of the roots in `ca` signed itself, or is. Nothing is sent before.
 */
export function openTls(
  { host, port }: { host: string; port: number },
  ca: string | Buffer | undefined,
  undated?: Undated,
): TLSSocket {
  const named = isIP(host) === 0 ? { servername: host } : {}
  const trusted = ca === undefined ? {} : { ca }
  const options: ConnectionOptions = { host, port, ...named, ...trusted, minVersion: 'TLSv1.2' }
  if (ca === undefined || undated === undefined || wasSet(undated.clock)) return connect(options)
  const socket = connect({ ...options, rejectUnauthorized: false })
  socket.cork()
  socket.once('secureConnect', () => {
    const dates = judge(socket, host, ca)
    if (dates instanceof Error) socket.destroy(dates)
    else {
      if (dates !== null) undated.onTaken(dates)
      socket.uncork()
    }
  })
  return socket
}

/** False on a machine that is certain not to know the time. */
export function wasSet(clock: Pick<Clock, 'now'>): boolean {
  return clock.now() >= defaults.neverSetS * 1_000
}

/** What OpenSSL would have said, had it been asked at `nowMs`; null when nothing. */
export function dateError({ fromMs, untilMs }: Dates, nowMs: number): CertificateError | null {
  if (nowMs < fromMs) return refusal('CERT_NOT_YET_VALID', 'certificate is not yet valid')
  return nowMs < untilMs ? null : refusal('CERT_HAS_EXPIRED', 'certificate has expired')
}

/** Null when OpenSSL has no objection; dates when theirs is the only one; else why not. */
function judge(socket: TLSSocket, host: string, ca: string | Buffer): Dates | Error | null {
  if (socket.authorized) return null
  // It is the code, whatever its type says.
  const code = String(socket.authorizationError)
  if (code !== 'CERT_NOT_YET_VALID') return refusal(code, `certificate refused: ${code}`)
  const peer = socket.getPeerCertificate()
  // Node does not ask this once there is another objection.
  const wrongName = checkServerIdentity(host, peer)
  if (wrongName !== undefined) return wrongName
  const leaf = new X509Certificate(peer.raw)
  const root = rootsIn(ca).find((each) => signed(each, leaf))
  if (root === undefined)
    return refusal('CERT_UNTRUSTED', 'certificate is not signed by a root in `ca`')
  if (leaf.keyUsage !== undefined && !leaf.keyUsage.includes(SERVER_AUTH))
    return refusal('CERT_UNTRUSTED', 'certificate is not for a server')
  return datesOf([leaf, root])
}

/** Of a machine that is late, "expired" is true: what had ended before 2025 will not begin any more. */
function datesOf(chain: readonly X509Certificate[]): Dates | Error {
  const dates = {
    fromMs: Math.max(...chain.map(({ validFromDate }) => validFromDate.getTime())),
    untilMs: Math.min(...chain.map(({ validToDate }) => validToDate.getTime())),
  }
  return dateError({ ...dates, fromMs: -Infinity }, defaults.neverSetS * 1_000) ?? dates
}

function rootsIn(ca: string | Buffer): X509Certificate[] {
  const blocks = ca.toString().match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)
  const all = (blocks ?? []).map((pem) => new X509Certificate(pem))
  return all.filter((each) => each.checkIssued(each) && each.verify(each.publicKey))
}

function signed(root: X509Certificate, leaf: X509Certificate): boolean {
  if (leaf.raw.equals(root.raw)) return true
  return root.ca && leaf.checkIssued(root) && leaf.verify(root.publicKey)
}

function refusal(code: string, message: string): CertificateError {
  return Object.assign(new Error(message), { code })
}
