/** Handshakes over connections that are open already: TLS 1.3 with certificates on both sides, and ours. */
import { constants, diffieHellman, generateKeyPairSync, sign, verify } from 'node:crypto'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import {
  connect as connectTls,
  createSecureContext,
  createServer as createTlsServer,
  type SecureContextOptions,
  type TLSSocket,
} from 'node:tls'
import { createInitiator, createResponder } from '#channel'
import type { Trust } from '#credential'
import { nativeCrypto } from '#crypto-native'
import { systemClock, systemRandom } from '#service'
import { makeCertificates, type TlsIdentity } from './certificates.ts'
import { forgetfulTrust, meterName, newTrust, node, personOf } from './people.ts'
import { ownCpuUs } from './proc.ts'

/** Two ends of a connection, so that opening it is nobody's cost. */
type Pair = readonly [client: Socket, server: Socket]

/**
 * `tlsDefault` is TLS 1.3 as node does it, `tlsPinned` TLS 1.3 that agrees on X25519 alone and hands
 * out no tickets; with `tlsNew` the client also reads its key and certificates each time. `fresh` and
 * `again` are ours and differ in whom they know. `primitives` is what none of them can do without.
 */
export type Kind = 'tlsDefault' | 'tlsPinned' | 'tlsNew' | 'fresh' | 'again' | 'primitives'

/**
 * The key agreement of EDHOC suite 4, and no tickets for another session. By itself node agrees on
 * X25519 and ML-KEM together, and prepares a resumption nobody asks for: honest work, but other work.
 */
const likeForLike = { ecdhCurve: 'X25519', secureOptions: constants.SSL_OP_NO_TICKET }

/** Ready to run; returns µs of CPU per handshake, both sides together. */
export function handshakesOf(kind: Kind): (count: number) => Promise<number> {
  const handshake = makeHandshake(kind)
  return (count) => cpuPerHandshake(count, handshake)
}

function makeHandshake(kind: Kind): Handshake {
  switch (kind) {
    case 'tlsDefault':
      return tlsHandshake('prepared', {})
    case 'tlsPinned':
      return tlsHandshake('prepared', likeForLike)
    case 'tlsNew':
      return tlsHandshake('each time', likeForLike)
    case 'fresh':
      return edhocHandshake(forgetfulTrust())
    case 'again':
      return edhocHandshake(newTrust())
    default:
      return primitivesAlone()
  }
}

type Handshake = (pair: Pair) => Promise<void>

async function cpuPerHandshake(count: number, handshake: Handshake): Promise<number> {
  const pairs = await openPairs(count)
  const before = ownCpuUs()
  for (const pair of pairs) await handshake(pair)
  const us = (ownCpuUs() - before) / count
  for (const socket of pairs.flat()) socket.destroy()
  return us
}

async function openPairs(count: number): Promise<Pair[]> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const pairs: Pair[] = []
  while (pairs.length < count) {
    const client = connect({ port, host: '127.0.0.1', noDelay: true })
    const [[accepted]] = await Promise.all([once(server, 'connection'), once(client, 'connect')])
    pairs.push([client, (accepted as Socket).setNoDelay(true)])
  }
  server.close()
  return pairs
}

/**
 * A server prepares its key and certificates once. A client may, or leave it to each connection. Both
 * sides check a certificate signed by the one authority; no session is resumed.
 */
function tlsHandshake(
  clientContext: 'prepared' | 'each time',
  choices: SecureContextOptions,
): Handshake {
  const contextOf = (meter: TlsIdentity) => createSecureContext({ ...tls13, ...choices, ...meter })
  const [meter, fog] = makeCertificates(['meter', node]) as [TlsIdentity, TlsIdentity]
  const prepared = contextOf(meter)
  const mutual = { requestCert: true, rejectUnauthorized: true }
  const tlsServer = createTlsServer({ ...tls13, ...choices, ...fog, ...mutual })
  tlsServer.on('tlsClientError', (error, socket) => socket.destroy(error))
  return async ([client, server]) => {
    const secured = once(tlsServer, 'secureConnection')
    tlsServer.emit('connection', server)
    const secureContext = clientContext === 'prepared' ? prepared : contextOf(meter)
    const connected = connectTls({ socket: client, secureContext, servername: node })
    const [[accepted]] = await Promise.all([secured, once(connected, 'secureConnect')])
    if (!connected.authorized || connected.getProtocol() !== 'TLSv1.3')
      throw new Error('no TLS 1.3')
    requireMeter(accepted as TLSSocket)
  }
}

/** A fog node learns who is there, as it does from EDHOC. */
function requireMeter(accepted: TLSSocket): void {
  const name = accepted.getPeerX509Certificate()?.subject
  if (!accepted.authorized || name !== 'CN=meter') throw new Error('no client certificate')
}

const tls13 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const

/** `trust` is both sides': whether they remember the credentials they have verified is its affair. */
function edhocHandshake(trust: Trust): Handshake {
  const meter = personOf(meterName(0), 'meter')
  const fog = personOf(node, 'fog')
  const common = { crypto: nativeCrypto, random: systemRandom, clock: systemClock }
  // One responder serves all, as a fog node does; it is given room for more than a node would take.
  const responder = createResponder({
    ...common,
    own: fog,
    trust,
    peerRole: 'meter',
    group: 'default',
    limits: { burst: 1e9, perSecond: 1e9 },
  })
  let channel = 0
  return async ([client, server]) => {
    const channelId = `c${String(channel++).padStart(7, '0')}`
    const initiator = createInitiator({
      ...common,
      own: meter,
      trust,
      peerRole: 'fog',
      node,
      channelId,
    })
    const opened = Promise.withResolvers<void>()
    const send = (to: Socket, outputs: readonly { type: string; bytes?: Uint8Array }[]) => {
      for (const { type, bytes } of outputs) {
        if (type === 'frame' && bytes !== undefined) to.write(bytes)
        if (type === 'closed') opened.reject(new Error('the handshake failed'))
      }
    }
    // One frame travels at a time, so that each arrives by itself.
    server.on('data', (frame) => send(server, responder.receive(channelId, frame)))
    client.on('data', (frame) => {
      send(client, initiator.receive(frame))
      if (initiator.state === 'open') opened.resolve()
    })
    send(client, initiator.start())
    await opened.promise
    responder.drop(channelId, 'measured')
  }
}

/**
 * The asymmetric arithmetic of both sides and nothing around it, with keys that are imported already:
 * each makes a key pair, agrees on a secret, signs, and verifies the peer's signature and the
 * authority's. TLS 1.3 and EDHOC both do exactly this when two meet for the first time.
 */
function primitivesAlone(): Handshake {
  const [device, mine] = [generateKeyPairSync('ed25519'), generateKeyPairSync('x25519')]
  const message = Buffer.alloc(300)
  const signed = () => verify(null, message, device.publicKey, signature)
  let signature = sign(null, message, device.privateKey)
  const oneSide = () => {
    const { publicKey } = generateKeyPairSync('x25519')
    diffieHellman({ privateKey: mine.privateKey, publicKey })
    signature = sign(null, message, device.privateKey)
    if (!signed() || !signed()) throw new Error('not verified')
  }
  return () => {
    oneSide()
    oneSide()
    return Promise.resolve()
  }
}
