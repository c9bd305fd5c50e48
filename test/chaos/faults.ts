import { startForgetfulBroker, startShufflingBroker } from '../support/bad-brokers.ts'
import { startFaultProxy, type FaultProxy } from '../support/fault-proxy.ts'

/** Both disturbed links. What they lead to can be exchanged. */
export interface Links {
  meters: FaultProxy
  cloud: FaultProxy
  /** Ports of the brokers they lead to. */
  to: { meters: number; cloud: number }
}

/** Brings a fault about; what it returns ends it again. */
type Fault = (links: Links, seed: number) => Promise<() => Promise<void>>

const both = ({ meters, cloud }: Links, act: (proxy: FaultProxy) => void) => {
  act(meters)
  act(cloud)
}

export const faults: Record<string, Fault> = {
  // For comparison.
  calm: async () => async () => undefined,
  'three in ten chunks disturbed': async (links) => {
    both(links, (proxy) => proxy.disturb({ share: 0.3 }))
    return async () => both(links, (proxy) => proxy.heal())
  },
  'black hole': async (links) => {
    both(links, (proxy) => proxy.blackHole())
    return async () => both(links, (proxy) => proxy.heal())
  },
  partition: async (links) => {
    both(links, (proxy) => proxy.cut())
    return async () => both(links, (proxy) => proxy.heal())
  },
  'broker that acknowledges and forgets': async (links) => {
    const broker = await startForgetfulBroker()
    const back = redirect(links, { meters: broker.port, cloud: broker.port })
    return async () => {
      back()
      await broker.close()
      if (broker.published() === 0) throw new Error('nobody published anything to be forgotten')
    }
  },
  'broker that doubles and reorders': async (links, seed) => {
    const { meters, cloud } = links.to
    const brokers = [
      await startShufflingBroker(() => meters, seed),
      await startShufflingBroker(() => cloud, seed + 1),
    ]
    const back = redirect(links, { meters: brokers[0]?.port ?? 0, cloud: brokers[1]?.port ?? 0 })
    return async () => {
      back()
      for (const broker of brokers) {
        await broker.close()
        if (broker.published() === 0) throw new Error('there was nothing to shuffle')
      }
    }
  },
  'slow cloud': async ({ cloud }) => {
    cloud.slow(1_000)
    return async () => cloud.heal()
  },
}

/** Whoever is connected is sent to other brokers; the function returned sends them back. */
function redirect(links: Links, ports: Links['to']): () => void {
  const before = links.to
  const go = (to: Links['to']) => {
    links.to = to
    both(links, (proxy) => {
      proxy.cut()
      proxy.heal()
    })
  }
  go(ports)
  return () => go(before)
}

export async function startLinks(seed: number): Promise<Links> {
  const to = { meters: 0, cloud: 0 }
  const links = { to } as Links
  links.meters = await startFaultProxy({ target: () => links.to.meters, seed })
  links.cloud = await startFaultProxy({ target: () => links.to.cloud, seed: seed + 1 })
  return links
}
