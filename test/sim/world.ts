import { nodeCrypto } from '#crypto-node'
import { createChance } from './chance.ts'
import { createCloudNode, type CloudNode } from './cloud-node.ts'
import { cloudHolds } from './cloud-view.ts'
import { standInCrypto, watchSealing } from './crypto.ts'
import { createDisk, type Disk } from './disk.ts'
import { createEngine } from './engine.ts'
import { createFogNode, type FogNode } from './fog-node.ts'
import { createMeterNode, type MeterNode } from './meter-node.ts'
import { noMutation, type Mutation } from './mutation.ts'
import { createBroker } from './network.ts'
import { peopleOf } from './people.ts'
import type { Plan } from './plan.ts'
import type { Surroundings } from './surroundings.ts'
import { createTruth } from './truth.ts'

/** Everything of one run. */
export interface World extends Surroundings {
  meters: MeterNode[]
  fogs: FogNode[]
  clouds: CloudNode[]
  /** Bits flipped so far, for the reports. */
  rotten: string[]
  /** What databases of clouds held when they were set back to an older copy. */
  lost: { disk: Disk }[]
}

export interface WorldOptions {
  mutation?: Mutation
  print?: ((line: string) => void) | null
}

/** Everybody in place, nobody started. */
export function createWorld(plan: Plan, options: WorldOptions = {}): World {
  const { mutation = noMutation, print = null } = options
  const engine = createEngine(print)
  const chance = createChance(plan.seed)
  const truth = createTruth(() => engine.nowMs)
  const plain = plan.realCrypto ? nodeCrypto : standInCrypto
  const sealed = new Set<string>()
  const watched = watchSealing(plain, (keyId, nonce) => {
    const pair = keyId + nonce
    if (sealed.has(pair)) truth.violation('a nonce was used twice under one key')
    sealed.add(pair)
  })
  const surroundings: Surroundings = {
    engine,
    chance,
    plan,
    truth,
    mutation,
    people: peopleOf(plain),
    crypto: mutation.crypto?.(watched) ?? watched,
  }
  const clouds = createClouds(surroundings)
  const lost: { disk: Disk }[] = []
  const targets = clouds.map(({ deviceId, broker }) => ({ node: deviceId, broker }))
  const fogs = Array.from({ length: plan.fogs }, (_, index) =>
    createFogNode({
      surroundings,
      deviceId: `fog-${index + 1}`,
      broker: createBroker(engine, chance, `fog-broker-${index + 1}`, plan.weather),
      targets,
      clockFault: plan.clocks.fogs[index] ?? 'none',
      // A receipt may still be on its way from a database that was set back meanwhile.
      inCloud: (fog, number, body) => cloudHolds([...clouds, ...lost], fog, number, body),
    }),
  )
  const spareNames = ['meter-9', 'meter-10', 'meter-11', 'meter-12']
  const meters = Array.from({ length: plan.meters }, (_, index) => {
    const fog = fogs[index % fogs.length]!
    return createMeterNode({
      surroundings,
      spareNames,
      deviceId: `meter-${index + 1}`,
      target: { node: fog.deviceId, broker: fog.broker },
      clockFault: plan.clocks.meters[index] ?? 'none',
    })
  })
  return { ...surroundings, meters, fogs, clouds, rotten: [], lost }
}

function createClouds(surroundings: Surroundings): CloudNode[] {
  const { engine, chance, plan } = surroundings
  const shared = createDisk(chance)
  return Array.from({ length: plan.clouds }, (_, index) =>
    createCloudNode({
      surroundings,
      deviceId: `cloud-${index + 1}`,
      broker: createBroker(engine, chance, `cloud-broker-${index + 1}`, plan.weather),
      disk: plan.sharedDatabase || index === 0 ? shared : createDisk(chance),
      clockFault: plan.clocks.clouds[index] ?? 'none',
    }),
  )
}
