import { readFileSync } from 'node:fs'
import { connect as connectTcp, type Socket } from 'node:net'
import { CodedError } from '#errors'
import { openTls, type Undated } from './tls.ts'

/** A broker's address, checked. */
export type Address =
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number }
  | { readonly kind: 'tls'; readonly host: string; readonly port: number }
  | { readonly kind: 'unix'; readonly path: string }

const DEFAULT_PORT = { 'mqtt:': 1883, 'mqtts:': 8883 } as const

/** Reads `mqtt://host:port`, `mqtts://host:port`, `unix:///path`. Throws `mqtt-link/bad-url`. */
export function parseAddress(url: string): Address {
  const parsed = URL.parse(url)
  if (parsed?.protocol === 'unix:' && parsed.pathname.length > 1 && parsed.host === '') {
    return { kind: 'unix', path: decodeURIComponent(parsed.pathname) }
  }
  if ((parsed?.protocol === 'mqtt:' || parsed?.protocol === 'mqtts:') && isBare(parsed)) {
    const port = parsed.port === '' ? DEFAULT_PORT[parsed.protocol] : Number(parsed.port)
    const host = parsed.hostname.replace(/^\[|\]$/g, '')
    return { kind: parsed.protocol === 'mqtt:' ? 'tcp' : 'tls', host, port }
  }
  throw new CodedError(
    'mqtt-link/bad-url',
    `"${url}" is no broker address; write mqtt://host:port, mqtts://host:port or unix:///path`,
  )
}

/** PEM text, or the path of a PEM file. Throws `mqtt-link/bad-ca`. */
export function readCa(ca: string | Uint8Array | undefined): string | Buffer | undefined {
  if (ca === undefined) return undefined
  if (typeof ca !== 'string') return Buffer.from(ca)
  if (ca.includes('-----BEGIN')) return ca
  const bytes = readCertificates(ca)
  if (bytes.includes('-----BEGIN CERTIFICATE-----')) return bytes
  // The system would trust nobody, and say of every broker that it is the wrong one.
  throw new CodedError(
    'mqtt-link/bad-ca',
    `${ca} holds no certificate; give the path of a PEM file`,
  )
}

function readCertificates(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (error) {
    const message = `cannot read the certificates in ${path}; give the path of a PEM file`
    throw new CodedError('mqtt-link/bad-ca', message, { cause: error })
  }
}

/** Opens the byte stream. Errors appear on the stream. */
export function openStream(
  address: Address,
  ca: string | Buffer | undefined,
  undated?: Undated,
): Socket {
  if (address.kind === 'unix') return connectTcp(address.path)
  const { kind, host, port } = address
  if (kind === 'tcp') return withoutDelay(connectTcp(port, host))
  return withoutDelay(openTls(address, ca, undated))
}

/** A record is small and somebody waits for its receipt. */
function withoutDelay(socket: Socket): Socket {
  return socket.setNoDelay(true)
}

/** Names and passwords in addresses end up in logs; paths and queries mean nothing here. */
function isBare({ hostname, username, password, pathname, search, hash }: URL): boolean {
  const path = pathname === '' || pathname === '/'
  return hostname !== '' && path && `${username}${password}${search}${hash}` === ''
}
