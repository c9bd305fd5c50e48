import type { Responder } from '#channel'
import type { CloudTx } from '#cloud'
import type { Crypto } from '#crypto'
import type { FogStore } from '#fog'
import type { MeterStore } from '#meter'
import type { Chance } from './chance.ts'
import type { Disk } from './disk.ts'

interface MeterLink {
  send(channelId: string, payload: Uint8Array): void
  drop(channelId: string, code: string): void
}

/** A planted bug: replaces something the cores depend on by something that breaks its promise. */
export interface Mutation {
  name: string
  /** The bug, as its author would describe it. */
  about: string
  crypto?(crypto: Crypto): Crypto
  meterStore?(store: MeterStore): MeterStore
  fogStore?(store: FogStore, disk: Disk): FogStore
  cloudTx?(tx: CloudTx, chance: Chance): CloudTx
  meterLink?(link: MeterLink, channels: ReadonlySet<string>, chance: Chance): MeterLink
  responder?(responder: Responder): Responder
}

export const noMutation: Mutation = { name: 'none', about: 'the product as it is' }
