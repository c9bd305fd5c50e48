/** Anybody on a network can answer by mDNS, in any name. What he gets for it. */
import { randomBytes } from 'node:crypto'
import { afterEach, expect, test } from 'vitest'
import { fromUtf8, utf8 } from '#bytes'
import { createResponder, type Identity } from '#channel'
import { nodeCrypto } from '#crypto-node'
import type { FoundFog } from '#mdns'
import { runInitiator, runResponder } from '#mqtt-link'
import type { Clock } from '#ports'
import { createFinder } from '../../apps/meter/finding.ts'
import { startBroker } from '../support/channel-broker.ts'
import { TestAuthority } from '../support/channel.ts'

const clock: Clock = { now: () => Date.now(), monotonic: () => performance.now() }
const common = {
  crypto: nodeCrypto,
  random: (n: number) => randomBytes(n),
  clock,
  backoff: { firstMs: 20, maxMs: 60_000 },
}
const authority = new TestAuthority(7)
const meter = authority.enrol('meter-1', 'meter')
const fog = authority.enrol('fog-1', 'fog')

const open: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const thing of open.splice(0).toReversed()) await thing.close()
})

/** A node that lets this authority's meters in, on the topics of fog-1, and says by mDNS that it is that. */
async function startNode(own: Identity): Promise<{ found: FoundFog; got: string[] }> {
  const broker = await startBroker()
  open.push({ close: () => broker.kill() })
  const { port } = broker
  const got: string[] = []
  const up = Promise.withResolvers<void>()
  const trust = authority.trust(clock)
  const responder = createResponder({ ...common, own, trust, peerRole: 'meter', group: 'default' })
  const link = runResponder({
    url: `mqtt://127.0.0.1:${port}`,
    node: 'fog-1',
    responder,
    onUp: up.resolve,
    onMessage: (_cid, peer, payload) => void got.push(`${peer.deviceId} ${fromUtf8(payload)}`),
  })
  open.push(link)
  await up.promise
  return { found: { node: 'fog-1', address: '127.0.0.1', port }, got }
}

/** Says "a reading" to the first node that proves to be fog-1; returns how many refused to be it before. */
function startMeter(answers: readonly FoundFog[]): Promise<string[]> {
  const refused: string[] = []
  const finder = createFinder({ url: 'mdns:', node: 'fog-1' }, () => Promise.resolve([...answers]))
  return new Promise((resolve) => {
    const link = runInitiator({
      ...common,
      own: meter,
      trust: authority.trust(clock),
      peerRole: 'fog',
      group: 'default',
      finder,
      onOpen() {
        link.send(utf8('a reading'))
        resolve(refused)
      },
      onMessage: () => undefined,
      onClosed: (code) => void refused.push(code),
    })
    open.push(link)
  })
}

test.each([
  ['somebody with a credential of his own', new TestAuthority(9).enrol('fog-1', 'fog')],
  ['another fog node of the authority', authority.enrol('fog-2', 'fog')],
  ['a meter of the authority that is called like the node', authority.enrol('fog-1', 'meter')],
  ['a node of that name in another group', authority.enrol('fog-1', 'fog', 'next-door')],
  ['who has copied the credential, but not the key', { ...meter, credential: fog.credential }],
])('%s answers first, in the name of the node: no readings', async (_, own) => {
  const rogue = await startNode(own)
  const real = await startNode(fog)
  const refused = await startMeter([rogue.found, real.found])
  expect(refused).toHaveLength(1)
  await expect.poll(() => real.got).toEqual(['meter-1 a reading'])
  expect(rogue.got).toEqual([])
})

test('only the key of the node itself would do: with it, the first to answer has the readings', async () => {
  const rogue = await startNode(fog)
  const real = await startNode(fog)
  expect(await startMeter([rogue.found, real.found])).toEqual([])
  await expect.poll(() => rogue.got).toEqual(['meter-1 a reading'])
  expect(real.got).toEqual([])
})
