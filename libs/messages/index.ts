/** Application messages inside records, as CBOR arrays; fogmeter.cddl is their description. */
export { type Summary } from './summary.ts'
export { type FogEvent, type FogStatus, type Item, type ReceivedItem } from './item.ts'
export { type ReceivedUp, type Up } from './up.ts'
export { type Down } from './down.ts'
