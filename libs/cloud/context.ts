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
}

/**
 * This item can never be accepted. Its own class because a failing database throws coded errors
 * too, and those must undo the transaction instead of throwing away a good item.
 */
export class Refusal extends CodedError {}

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
