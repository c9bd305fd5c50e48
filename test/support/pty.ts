import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { open } from 'node:fs/promises'

/** Pseudo-terminal pairs are made by socat, where it is installed. */
export const hasSocat = spawnSync('socat', ['-V']).status === 0

/** A cable between two pseudo-terminals: a meter at one end, a program at the other. */
export interface Cable {
  /** Where a program finds its end. */
  device: string
  /** What the meter says. */
  say(bytes: Uint8Array): Promise<void>
  /** Both ends are gone when it resolves. */
  pull(): Promise<void>
}

/** Plugs a cable in; the program's end is at `device`. */
export async function plugCable(device: string): Promise<Cable> {
  const ends = ['far', ''].map((suffix) => `pty,raw,echo=0,link=${device}${suffix}`)
  const child = spawn('socat', ['-d', '-d', ...ends], { stdio: ['ignore', 'ignore', 'pipe'] })
  await ready(child)
  const far = await open(`${device}far`, 'r+')
  return {
    device,
    say: async (bytes) => void (await far.write(bytes)),
    async pull() {
      const exited = once(child, 'exit')
      child.kill('SIGTERM')
      await exited
      await far.close().catch(() => undefined)
    },
  }
}

/** socat says so once it has made both ends. */
async function ready(child: ChildProcess): Promise<void> {
  let said = ''
  for await (const chunk of child.stderr as AsyncIterable<Buffer>) {
    said += chunk.toString()
    if (said.includes('starting data transfer loop')) break
  }
  child.stderr?.resume()
}
