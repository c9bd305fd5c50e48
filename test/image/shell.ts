import type { Socket } from 'node:net'

/** A root shell on the serial line, which exists only because the kernel was told so at power-on. */
export interface Shell {
  /** What the command wrote to stdout and stderr. Throws when it failed, or when the machine ended. */
  run(command: string): Promise<string>
}

/** Typed before the kernel has the serial line, so much of it can stick there that nothing more comes through. */
const prompt = /root@[\w-]+:\S*# /

/** A line the kernel or systemd writes in between may fall anywhere: only what is between marks counts. */
export function openShell(socket: Socket, ended: Promise<unknown>): Shell {
  let heard = ''
  const looks = new Set<() => void>()
  socket.setEncoding('latin1')
  socket.on('data', (chunk: string) => {
    heard += chunk
    for (const look of looks) look()
  })
  socket.on('error', () => undefined) // the machine is off; `ended` says so
  let number = 0

  async function once(pattern: RegExp): Promise<RegExpExecArray> {
    const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>()
    const look = (): void => {
      const found = pattern.exec(heard)
      if (found) resolve(found)
      else if (/Kernel panic|emergency mode/.test(heard)) reject(new Error('it did not boot'))
    }
    void ended.then(() => reject(new Error('the machine ended')))
    looks.add(look)
    look()
    try {
      return await promise
    } finally {
      looks.delete(look)
    }
  }

  /** The shell may not listen at once even so, and what is typed before it does is lost. */
  async function answer(command: string): Promise<RegExpExecArray> {
    const mark = `fogmeter-${++number}-`
    // The mark is written in two parts, so that the echo of the command is not taken for its answer.
    const line = `{ ${command}; } 2>&1; printf '\\n%s%s%d\\n' ${mark} end- $?\n`
    const type = (): void => void socket.write(`printf '\\n%s%s\\n' ${mark} begin; ${line}`)
    type()
    const again = number === 1 ? setInterval(type, 5_000) : undefined
    try {
      return await once(new RegExp(`${mark}begin\\r?\\n([\\s\\S]*?)\\r?\\n${mark}end-(\\d+)`))
    } finally {
      clearInterval(again)
    }
  }

  let ready: Promise<unknown> | null = null
  return {
    async run(command) {
      ready ??= once(prompt).then(() => answer('stty -echo; PS1='))
      await ready
      const [, said = '', code] = await answer(command)
      const text = said.replaceAll('\r', '').trim()
      if (code !== '0') throw new Error(`in the guest, ${command}: exit code ${code}: ${text}`)
      return text
    },
  }
}
