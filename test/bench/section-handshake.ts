/** CPU of a handshake, both sides together: ours, and TLS 1.3 with certificates on both sides. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { connect as connectTls, createSecureContext, TLSSocket, type SecureContext } from 'node:tls'
import { createInitiator, createResponder } from '#channel'
import type { Trust } from '#credential'
import { nodeCrypto } from '#crypto-node'
import { systemClock, systemRandom } from '#service'
import { makeCertificates, type TlsIdentity } from './certificates.ts'
import { atMost, median, type Figure, type Run } from './figures.ts'
import { meterName, newTrust, node, personOf } from './people.ts'
import { ownCpuUs } from './proc.ts'

const perRound = 150

/** Two ends of a connection that is open already, so that opening it is nobody's cost. */
type Pair = readonly [client: Socket, server: Socket]

export async function handshakeSection(run: Run): Promise<Figure[]> {
  const count = run.quick ? 30 : perRound
  const tls = tlsHandshake()
  const fresh = edhocHandshake(newTrust)
  const [trustM, trustF] = [newTrust(), newTrust()]
  const again = edhocHandshake((side) => (side === 'meter' ? trustM : trustF))
  const samples = { tls: [] as number[], fresh: [] as number[], again: [] as number[] }
  for (let round = 0; round <= run.rounds; round++) {
    run.say(round === 0 ? 'warming up' : `round ${round} of ${run.rounds}`)
    const tlsUs = await cpuPerHandshake(count, tls)
    const freshUs = await cpuPerHandshake(count, fresh)
    const againUs = await cpuPerHandshake(count, again)
    if (round === 0) continue
    samples.tls.push(tlsUs)
    samples.fresh.push(freshUs)
    samples.again.push(againUs)
  }
  return figures(samples)
}

function figures(samples: { tls: number[]; fresh: number[]; again: number[] }): Figure[] {
  const ratio = (values: number[]) => median(values.map((us, i) => us / (samples.tls[i] ?? us)))
  const base = { section: 'handshake', unit: 'µs CPU' }
  const of = 'TLS 1.3 handshake'
  return [
    {
      ...base,
      what: 'TLS 1.3 handshake, Ed25519 certificates on both sides, both sides together',
      median: median(samples.tls),
    },
    {
      ...base,
      what: 'EDHOC handshake, credentials seen for the first time, both sides together',
      median: median(samples.fresh),
      ratio: { value: ratio(samples.fresh), of },
      goal: atMost(0.5, 'ratio'),
    },
    {
      ...base,
      what: 'EDHOC handshake of a meter that comes back, both sides together',
      median: median(samples.again),
      ratio: { value: ratio(samples.again), of },
    },
  ]
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

/** Session and certificate contexts are made once, as a server does. */
function tlsHandshake(): Handshake {
  const [meter, fog] = makeCertificates(['meter', node]) as [TlsIdentity, TlsIdentity]
  const [forMeter, forFog] = [contextOf(meter), contextOf(fog)]
  return async ([client, server]) => {
    const accepted = new TLSSocket(server, {
      isServer: true,
      requestCert: true,
      rejectUnauthorized: true,
      secureContext: forFog,
    })
    const connected = connectTls({ socket: client, secureContext: forMeter, servername: node })
    await Promise.all([once(accepted, 'secure'), once(connected, 'secureConnect')])
    if (!connected.authorized || connected.getProtocol() !== 'TLSv1.3') throw new Error('no TLS 1.3')
    // On the server's side node leaves this to its tls.Server; a peer without a good one has none.
    if (accepted.getPeerCertificate().subject.CN !== 'meter') throw new Error('no client certificate')
  }
}

function contextOf({ key, cert, ca }: TlsIdentity): SecureContext {
  return createSecureContext({ key, cert, ca, minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' })
}

function edhocHandshake(trust: (side: 'meter' | 'fog') => Trust): Handshake {
  const meter = personOf(meterName(0), 'meter')
  const fog = personOf(node, 'fog')
  const common = { crypto: nodeCrypto, random: systemRandom, clock: systemClock }
  // One responder serves all, as a fog node does; it is given room for more than a node would take.
  const responder = createResponder({
    ...{ ...common, own: fog, trust: trust('fog'), peerRole: 'meter' as const },
    ...{ group: 'default', limits: { burst: 1e9, perSecond: 1e9 } },
  })
  let channel = 0
  return async ([client, server]) => {
    const channelId = `c${String(channel++).padStart(7, '0')}`
    const initiator = createInitiator({
      ...{ ...common, own: meter, trust: trust('meter'), peerRole: 'fog' as const },
      ...{ node, channelId },
    })
    const opened = Promise.withResolvers<void>()
    const send = (to: Socket, outputs: readonly { type: string; bytes?: Uint8Array }[]) => {
      for (const { type, bytes } of outputs) {
        if (type === 'frame' && bytes !== undefined) to.write(bytes)
        if (type === 'closed') opened.reject(new Error('the handshake failed'))
      }
    }
    // One frame travels at a time, so that each arrives by itself.
    server.on('data', (frame) => send(server, responder.receive(channelId, frame as Buffer)))
    client.on('data', (frame) => {
      send(client, initiator.receive(frame as Buffer))
      if (initiator.state === 'open') opened.resolve()
    })
    send(client, initiator.start())
    await opened.promise
    responder.drop(channelId, 'measured')
  }
}
