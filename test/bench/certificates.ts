/** X.509 certificates with Ed25519 keys (RFC 5280, RFC 8410), as DER written by hand. */
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto'

/** What node:tls wants, PEM. */
export interface TlsIdentity {
  key: string
  cert: string
  ca: string
}

/** A certificate authority with a certificate for each name, signed by it. */
export function makeCertificates(names: readonly string[]): TlsIdentity[] {
  const root = generateKeyPairSync('ed25519')
  const ca = certificate('bench root', root.publicKey, 'bench root', root.privateKey, true)
  return names.map((name) => {
    const { publicKey, privateKey } = generateKeyPairSync('ed25519')
    const cert = certificate(name, publicKey, 'bench root', root.privateKey, false)
    const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
    return { key, cert, ca }
  })
}

/** A DER value: tag, length, contents. */
function der(tag: number, ...contents: Uint8Array[]): Buffer {
  const body = Buffer.concat(contents)
  const { length } = body
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), body])
  if (length < 0x100) return Buffer.concat([Buffer.of(tag, 0x81, length), body])
  return Buffer.concat([Buffer.of(tag, 0x82, length >> 8, length & 0xff), body])
}

const sequence = (...parts: Uint8Array[]) => der(0x30, ...parts)
const oid = (...bytes: number[]) => der(0x06, Buffer.from(bytes))
/** id-Ed25519, 1.3.101.112 (RFC 8410 §3). */
const ed25519 = sequence(oid(0x2b, 0x65, 0x70))

function certificate(
  subject: string,
  publicKey: KeyObject,
  issuer: string,
  issuerKey: KeyObject,
  isAuthority: boolean,
): string {
  const serial = der(0x02, Buffer.of(isAuthority ? 1 : 2))
  const validity = sequence(utcTime(-86_400_000), utcTime(86_400_000))
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const body = sequence(
    der(0xa0, der(0x02, Buffer.of(2))), // version 3
    serial,
    ed25519,
    commonName(issuer),
    validity,
    commonName(subject),
    spki,
    extensions(subject, isAuthority),
  )
  const signature = der(0x03, Buffer.of(0), sign(null, body, issuerKey))
  const bytes = sequence(body, ed25519, signature).toString('base64')
  const lines = bytes.match(/.{1,64}/g)?.join('\n') ?? ''
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`
}

/** The authority says that it is one; the others say their DNS name. */
function extensions(subject: string, isAuthority: boolean): Buffer {
  const basicConstraints = sequence(
    oid(0x55, 0x1d, 0x13),
    der(0x01, Buffer.of(0xff)), // critical
    der(0x04, sequence(...(isAuthority ? [der(0x01, Buffer.of(0xff))] : []))),
  )
  const alternativeName = sequence(
    oid(0x55, 0x1d, 0x11),
    der(0x04, sequence(der(0x82, Buffer.from(subject)))),
  )
  return der(0xa3, sequence(basicConstraints, ...(isAuthority ? [] : [alternativeName])))
}

function commonName(name: string): Buffer {
  return sequence(der(0x31, sequence(oid(0x55, 0x04, 0x03), der(0x0c, Buffer.from(name)))))
}

function utcTime(offsetMs: number): Buffer {
  const text = new Date(Date.now() + offsetMs).toISOString()
  return der(0x17, Buffer.from(`${text.replace(/[-:T]/g, '').slice(2, 14)}Z`))
}
