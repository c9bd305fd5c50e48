/** The firmware with the smallest code: big integers without tables. */
import { smallCrypto } from '#crypto-small'
import type { Firmware, Host, Provision } from './host.ts'
import { createFirmware } from './main.ts'

export function boot(host: Host, provision: Provision): Firmware {
  return createFirmware(host, provision, smallCrypto)
}
