import type { Credential, Trust } from '#credential'
import type { Crypto } from '#crypto'
import { CodedError } from '#errors'
import type { CloudTx, FogRecord } from './store.ts'

/** Everything one item is judged by and applied to. `record` is the transaction's working copy. */
export interface ApplyContext {
  crypto: Crypto
  trust: Trust
  tx: CloudTx
  fog: Credential
  record: FogRecord
  nowS: number
  /** Fog nodes that have turned out to count what another one counts; filled as items are applied. */
  doubling: Set<string>
}

/**
 * This item can never be accepted. Its own class because a failing database throws coded errors
 * too, and those must undo the transaction instead of throwing away a good item.
 */
export class Refusal extends CodedError {}

/** What cannot be verified without the credential of this meter: its fog may still send it. */
export class UnknownMeter extends Refusal {
  readonly deviceId: string

  constructor(deviceId: string) {
    super('register/unknown-meter', 'no credential of this meter yet')
    this.deviceId = deviceId
  }
}

/** Records something the cloud itself noticed. */
export function note(
  { tx, fog, nowS }: Pick<ApplyContext, 'tx' | 'fog' | 'nowS'>,
  code: string,
  deviceId: string | null,
  detail: string,
): void {
  const entry = { code, deviceId, detail, timeS: nowS, receivedS: nowS }
  tx.addEvent({ ...entry, source: 'cloud', fog: fog.deviceId })
}
