/** Application messages inside records, as CBOR arrays; fogmeter.cddl is their description. */
export { type Summary } from './summary.ts'
export { gapKinds, type Gap, type GapKind } from './gap.ts'
export {
  askedAgain,
  decodeItem,
  detailTypes,
  encodeItem,
  itemMark,
  type FogEvent,
  type FogStatus,
  type Item,
  type ReceivedItem,
  type Withdrawn,
} from './item.ts'
export type { MachineStatus } from './machine.ts'
export { decodeUp, encodeItems, encodeUp, type ReceivedUp, type Up } from './up.ts'
export { decodeDown, encodeDown, type Down } from './down.ts'
