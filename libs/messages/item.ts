import type { Summary } from './summary.ts'

/** A fog's numbered outbox entries, on their way to the cloud. */
export type Item =
  | { type: 'credential'; cwt: Uint8Array }
  | { type: 'summary'; summary: Summary }
  /** A meter's signed statement: COSE_Sign1 with payload (see #reading `verifyRegister`). */
  | { type: 'register'; envelope: Uint8Array }
  | { type: 'event'; event: FogEvent }
  | { type: 'fogStatus'; status: FogStatus }

/** Something an operator may want to know; `deviceId` null when it concerns the fog itself. */
export interface FogEvent {
  code: string
  timeS: number
  deviceId: string | null
  /** Free text for people, ≤ 512 bytes. */
  detail: string
}

/** Health of a fog node; counters since its start. */
export interface FogStatus {
  timeS: number
  uptimeS: number
  /** Meters ever seen and meters with an open session. */
  metersKnown: number
  metersOnline: number
  /** Durable readings and signed blocks; refused messages of any kind. */
  readings: number
  blocks: number
  refused: number
  /** Entries waiting in the outbox, and bytes of the store. */
  outbox: number
  storeBytes: number
  version: string
}

/** An item as the cloud decodes it: one that cannot be read keeps its place and names the reason. */
export type ReceivedItem = Item | { type: 'unreadable'; code: string }
