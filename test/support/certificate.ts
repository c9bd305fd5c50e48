/** X.509 certificates for tests, made when they run: RFC 5280, Ed25519 keys (RFC 8410). */
import {
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
  type KeyObject,
} from 'node:crypto'

export interface TestCertificate {
  key: string
  cert: string
}

interface Made extends TestCertificate {
  name: string
  privateKey: KeyObject
}

const DAY_MS = 86_400_000

export interface CertificatePlan {
  /** Start of validity, ms since 1970; two days long. A day ago when absent. */
  fromMs?: number
  /** End of it. */
  untilMs?: number
  /** Address of the server instead of 127.0.0.1. */
  address?: readonly number[]
  /** Has an authority of its own between root and server. */
  intermediate?: boolean
  /** The server is its own authority. */
  ownRoot?: boolean
  /** Extended key usage: only for clients. */
  forClients?: boolean
}

function der(tag: number, ...parts: Uint8Array[]): Buffer {
  const body = Buffer.concat(parts)
  if (body.length < 0x80) return Buffer.concat([Buffer.from([tag, body.length]), body])
  const size =
    body.length < 0x100 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 255]
  return Buffer.concat([Buffer.from([tag, ...size]), body])
}

const sequence = (...parts: Uint8Array[]) => der(0x30, ...parts)
const oid = (...bytes: number[]) => der(0x06, Uint8Array.from(bytes))
const ED25519 = sequence(oid(0x2b, 0x65, 0x70))
const COMMON_NAME = oid(0x55, 0x04, 0x03)
const BASIC_CONSTRAINTS = oid(0x55, 0x1d, 0x13)
const ALTERNATIVE_NAME = oid(0x55, 0x1d, 0x11)
const EXTENDED_KEY_USAGE = oid(0x55, 0x1d, 0x25)
const CLIENT_AUTH = oid(0x2b, 6, 1, 5, 5, 7, 3, 2)
const TRUE = der(0x01, Uint8Array.of(0xff))

function nameOf(text: string): Buffer {
  return sequence(der(0x31, sequence(COMMON_NAME, der(0x0c, Buffer.from(text)))))
}

/** UTCTime. */
function timeOf(ms: number): Buffer {
  const text = new Date(ms).toISOString().replace(/^\d\d|[-:T]|\.\d+/g, '')
  return der(0x17, Buffer.from(text))
}

function make(name: string, issuer: Made | null, extension: Buffer, plan: CertificatePlan): Made {
  const { privateKey } = generateKeyPairSync('ed25519')
  const signer = issuer?.privateKey ?? privateKey
  const { fromMs = Date.now() - DAY_MS, untilMs = fromMs + 2 * DAY_MS } = plan
  const body = sequence(
    der(0xa0, der(0x02, Uint8Array.of(2))),
    der(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    ED25519,
    nameOf(issuer?.name ?? name),
    sequence(timeOf(fromMs), timeOf(untilMs)),
    nameOf(name),
    createPublicKey(privateKey).export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(extension)),
  )
  const signature = der(0x03, Uint8Array.of(0), sign(null, body, signer))
  const base64 = sequence(body, ED25519, signature).toString('base64')
  const lines = base64.match(/.{1,64}/g) ?? []
  return {
    name,
    privateKey,
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`,
  }
}

/** An authority, and a server of its for 127.0.0.1. */
export function makeCertificates(
  name: string,
  plan: CertificatePlan = {},
): { ca: string; server: TestCertificate } {
  const isAuthority = sequence(BASIC_CONSTRAINTS, TRUE, der(0x04, sequence(TRUE)))
  const authority = make(name, null, isAuthority, plan)
  const between = plan.intermediate && make(`${name} between`, authority, isAuthority, plan)
  const address = der(0x87, Uint8Array.from(plan.address ?? [127, 0, 0, 1]))
  const names = sequence(ALTERNATIVE_NAME, der(0x04, sequence(address)))
  const usage = sequence(EXTENDED_KEY_USAGE, der(0x04, sequence(CLIENT_AUTH)))
  const extensions = plan.forClients ? Buffer.concat([names, usage]) : names
  const issuer = plan.ownRoot ? null : between || authority
  const { key, cert } = make(`${name} server`, issuer, extensions, plan)
  if (plan.ownRoot) return { ca: cert, server: { key, cert } }
  return { ca: authority.cert, server: { key, cert: cert + (between ? between.cert : '') } }
}
