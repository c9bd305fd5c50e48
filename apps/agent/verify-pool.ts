import { Worker } from 'node:worker_threads'
import { CodedError } from '#errors'
import type { Verifier } from '#fog'
import { packJobs, type VerifyJob } from './verify-jobs.ts'

/** A verifier on worker threads. */
export interface VerifyPool extends Verifier {
  /** Jobs given in and not answered yet. */
  waiting(): number
  /** Workers that ended by themselves and were replaced. */
  replaced(): number
  /** Ends one thread as a crash would, for tests of what happens then. */
  crashOne(): Promise<unknown>
  close(): Promise<void>
}

interface Job extends VerifyJob {
  resolve(good: boolean): void
  reject(error: Error): void
  attempts: number
}

interface Thread {
  worker: Worker
  /** What it is working on; null when idle. */
  batch: Job[] | null
}

/** Passing a message costs 14 µs alone and 0.2 µs a job in batches of this order. */
const maxBatch = 128
/** A message to a thread wakes it up, which costs a third of a check: fewer than this wait … */
const minBatch = 16
/** … this long for more. The commit that follows the check waits ten times longer anyway. */
const lingerMs = 5
/** Far above what the fog core lets in; beyond it something is stuck. */
const maxWaiting = 32_768
/** A job during which two workers died is not tried on a third. */
const maxAttempts = 2
const respawnMs = 500

/** Starts `workers` threads. A thread that dies is replaced and its jobs are done again. */
export function startVerifyPool(workers: number, onCrash: (error: unknown) => void): VerifyPool {
  const threads = new Set<Thread>()
  let queue: Job[] = []
  let [inWork, replaced] = [0, 0]
  let closed = false
  let timer: NodeJS.Timeout | undefined

  function spawn(): void {
    if (closed) return
    const thread: Thread = {
      worker: new Worker(new URL('./verify-worker.ts', import.meta.url)),
      batch: null,
    }
    threads.add(thread)
    thread.worker.on('message', (results: Uint8Array) => finished(thread, results))
    thread.worker.on('error', onCrash)
    thread.worker.on('exit', () => lost(thread))
    dispatch()
  }

  function finished(thread: Thread, results: Uint8Array): void {
    const batch = thread.batch ?? []
    thread.batch = null
    inWork -= batch.length
    // First more work, so that the thread does not stand still while the answers are handled.
    plan()
    batch.forEach((job, index) => job.resolve(results[index] === 1))
  }

  function lost(thread: Thread): void {
    threads.delete(thread)
    const batch = thread.batch ?? []
    inWork -= batch.length
    if (closed) return
    replaced += 1
    for (const job of batch) job.attempts += 1
    const again = batch.filter(({ attempts }) => attempts < maxAttempts)
    queue = [...again, ...queue]
    for (const job of batch) if (job.attempts >= maxAttempts) job.reject(gone())
    setTimeout(spawn, respawnMs).unref()
    dispatch()
  }

  function dispatch(): void {
    for (const thread of threads) {
      if (queue.length === 0) return
      if (thread.batch !== null) continue
      // Shares, so that a short queue keeps all threads busy instead of one.
      const fair = Math.max(minBatch, Math.ceil(queue.length / threads.size))
      const share = Math.min(maxBatch, fair)
      thread.batch = queue.slice(0, share)
      queue = queue.slice(share)
      inWork += thread.batch.length
      const packed = packJobs(thread.batch)
      thread.worker.postMessage(packed, [packed.buffer])
    }
  }

  /** Enough work goes out at once, little of it later, so that a thread gets it in one message. */
  function plan(): void {
    if (queue.length >= minBatch * threads.size) return dispatch()
    timer ??= setTimeout(() => {
      timer = undefined
      dispatch()
    }, lingerMs)
  }

  for (let i = 0; i < workers; i++) spawn()
  return {
    verify(publicKey, message, signature) {
      if (closed || queue.length >= maxWaiting) return Promise.reject(gone())
      if (publicKey.length !== 32 || signature.length !== 64) return Promise.resolve(false)
      return new Promise((resolve, reject) => {
        queue.push({ publicKey, message, signature, resolve, reject, attempts: 0 })
        plan()
      })
    },
    waiting: () => queue.length + inWork,
    replaced: () => replaced,
    crashOne: () => Promise.all([...threads].slice(0, 1).map(({ worker }) => worker.terminate())),
    async close() {
      closed = true
      clearTimeout(timer)
      for (const job of queue.splice(0)) job.reject(gone())
      const ending = [...threads]
      await Promise.all(ending.map(({ worker }) => worker.terminate()))
      for (const { batch } of ending) for (const job of batch ?? []) job.reject(gone())
    },
  }
}

function gone(): CodedError {
  return new CodedError('agent/no-verifier', 'no worker thread could check this signature')
}
