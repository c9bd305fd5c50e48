/** The firmware with noble's curves, their tables as small as they can be. */
import { ed25519 } from '@noble/curves/ed25519.js'
import { nobleCrypto } from '#crypto'
import type { Firmware, Host, Provision } from './host.ts'
import { createFirmware } from './main.ts'

/**
 * A window of 2 bits makes tables that are a small part of noble's own choice, and slower. Made now:
 * where `verify` makes them and lacks the memory, it calls the signature wrong.
 */
ed25519.Point.BASE.precompute(2, false)

export function boot(host: Host, provision: Provision): Firmware {
  return createFirmware(host, provision, nobleCrypto)
}
