/** How signature checks travel between the agent's threads: many jobs in one transferable buffer. */

export interface VerifyJob {
  /** 32 bytes. */
  publicKey: Uint8Array
  /** 64 bytes. */
  signature: Uint8Array
  message: Uint8Array
}

const KEY = 32
const SIGNATURE = 64
const HEAD = KEY + SIGNATURE + 4

/** Each job as key ‖ signature ‖ length of the message (4 bytes) ‖ message. */
export function packJobs(jobs: readonly VerifyJob[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(jobs.reduce((sum, { message }) => sum + HEAD + message.length, 0))
  const view = new DataView(out.buffer)
  let at = 0
  for (const { publicKey, signature, message } of jobs) {
    out.set(publicKey, at)
    out.set(signature, at + KEY)
    view.setUint32(at + KEY + SIGNATURE, message.length)
    out.set(message, at + HEAD)
    at += HEAD + message.length
  }
  return out
}

/** The mirror of `packJobs`; the parts are views into `packed`. */
export function unpackJobs(packed: Uint8Array): VerifyJob[] {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length)
  const jobs: VerifyJob[] = []
  let at = 0
  while (at < packed.length) {
    const start = at + HEAD
    const length = view.getUint32(at + KEY + SIGNATURE)
    jobs.push({
      publicKey: packed.subarray(at, at + KEY),
      signature: packed.subarray(at + KEY, at + KEY + SIGNATURE),
      message: packed.subarray(start, start + length),
    })
    at = start + length
  }
  return jobs
}
