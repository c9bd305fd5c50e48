/** The firmware with noble's curves, their tables as small as they can be. */
import { ed25519 } from '@noble/curves/ed25519.js'
import { nobleCrypto } from '#crypto'
import type { Firmware, Host, Provision } from './host.ts'
import { createFirmware } from './main.ts'

/** Window of 2 bits: 8 tables' worth less than noble's own choice, and slower. */
ed25519.Point.BASE.precompute(2)

export function boot(host: Host, provision: Provision): Firmware {
  return createFirmware(host, provision, nobleCrypto)
}
