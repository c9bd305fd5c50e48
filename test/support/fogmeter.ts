/** The real command line as a process. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const cli = join(import.meta.dirname, '../../apps/cli/main.ts')

export interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

/** Runs `fogmeter …` to its end. */
export function fogmeter(...args: string[]): Promise<Outcome> {
  return startFogmeter(...args).exited
}

/** Starts `fogmeter …`; `log` is what it has said on stderr so far. */
export function startFogmeter(...args: string[]) {
  const child = spawn(process.execPath, [cli, ...args])
  const output = { stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (output.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (output.stderr += chunk.toString()))
  const exited = once(child, 'close').then(([code]): Outcome => ({
    code: code as number | null,
    ...output,
  }))
  return { child, exited, log: () => output.stderr }
}
