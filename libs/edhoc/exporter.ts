/** PRK_out, EDHOC_Exporter and EDHOC_KeyUpdate, RFC 9528 §4.1.3, §4.2.1, Appendix H. */
import { edhocError } from './errors.ts'
import { kdf, LABEL, wipe, type Tools } from './key-schedule.ts'
import { HASH_LENGTH } from './suite.ts'

/** EDHOC_Exporter( exporter_label, context, length ): the same arguments always give the same key. */
export interface Exporter {
  (label: number, context: Uint8Array, length: number): Uint8Array
  /** Replaces the session key by a one-way step; what is exported afterwards is new. */
  keyUpdate(context: Uint8Array): void
  /** Overwrites the keys. Exporting afterwards throws edhoc/state-spent. */
  wipe(): void
}

const NO_BYTES = new Uint8Array()

/** `prk4e3m` stays the caller's, who wipes it. */
export function createExporter(tools: Tools, prk4e3m: Uint8Array, th4: Uint8Array): Exporter {
  const prkOut = kdf(tools, 'PRK_out', prk4e3m, LABEL.prkOut, th4, HASH_LENGTH)
  const prkExporter = derivePrkExporter(tools, prkOut)
  let wiped = false
  const assertUsable = () => {
    if (wiped) throw edhocError('edhoc/state-spent', 'the keys of this session are wiped')
  }

  const exportKey = (label: number, context: Uint8Array, length: number): Uint8Array => {
    assertUsable()
    if (!Number.isSafeInteger(label) || label < 0)
      throw edhocError('edhoc/bad-argument', 'exporter_label must be an unsigned integer')
    return kdf(tools, `exporter ${label}`, prkExporter, label, context, length)
  }
  const keyUpdate = (context: Uint8Array): void => {
    assertUsable()
    const next = kdf(tools, 'PRK_out', prkOut, LABEL.keyUpdate, context, HASH_LENGTH)
    prkOut.set(next)
    prkExporter.set(derivePrkExporter(tools, next))
    wipe(next)
  }
  const wipeKeys = (): void => {
    wiped = true
    wipe(prkOut, prkExporter)
  }
  return Object.assign(exportKey, { keyUpdate, wipe: wipeKeys })
}

function derivePrkExporter(tools: Tools, prkOut: Uint8Array): Uint8Array {
  return kdf(tools, 'PRK_exporter', prkOut, LABEL.prkExporter, NO_BYTES, HASH_LENGTH)
}
