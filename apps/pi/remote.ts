/** Another machine's shell, over the system's own ssh: its keys, its known hosts, its configuration. */
import { spawn } from 'node:child_process'
import { createReadStream } from 'node:fs'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { CodedError } from '#errors'

export interface Answer {
  code: number
  stdout: string
  stderr: string
}

export type Input = Uint8Array | { file: string }

export interface Remote {
  target: string
  /**
   * Runs a POSIX script there; its standard input is `input`, or the file of that path.
   * @throws pi/no-ssh when there is no way to that machine
   */
  run(script: string, input?: Input): Promise<Answer>
}

/** What ssh itself ends with when it failed, ssh(1). */
const SSH_FAILED = 255
/** Nobody is asked in between: a password would be wanted for each step. */
const OPTIONS = ['-o', 'BatchMode=yes', '-o', 'ConnectTimeout=15']
const TARGET = /^(?:[\w][\w.-]*@)?[\w[][\w.:%[\]-]*$/

/** `ssh` is the command with options of its own, split at blanks. @throws cli/usage */
export function openRemote(target: string, ssh: string): Remote {
  const [program = 'ssh', ...own] = ssh.split(' ').filter((word) => word !== '')
  if (!TARGET.test(target))
    throw new CodedError('cli/usage', `${target}: write user@host, as ssh takes it`)
  return {
    target,
    async run(script, input = new Uint8Array()) {
      const command = `sh -c ${quoted(script)}`
      const answer = await call(program, [...own, ...OPTIONS, '--', target, command], input)
      if (answer.code === SSH_FAILED) throw noWay(target, answer.stderr)
      return answer
    },
  }
}

/** One word of a POSIX shell, whatever is in it. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`
}

async function call(program: string, args: string[], input: Input): Promise<Answer> {
  const child = spawn(program, args, { stdio: 'pipe' })
  const texts = { stdout: '', stderr: '' }
  for (const stream of ['stdout', 'stderr'] as const)
    child[stream].setEncoding('utf8').on('data', (text: string) => (texts[stream] += text))
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', (error) => reject(noProgram(program, error)))
    child.on('close', (code) => resolve(code ?? SSH_FAILED))
  })
  const source = 'file' in input ? createReadStream(input.file) : Readable.from([input])
  // A far end that has gone already says why in its answer.
  const [code] = await Promise.all([ended, pipeline(source, child.stdin).catch(() => undefined)])
  return { code, ...texts }
}

function noProgram(program: string, cause: Error): CodedError {
  const message = `${program} cannot be run (${cause.message}); install an SSH client`
  return new CodedError('pi/no-ssh', message, { cause })
}

function noWay(target: string, stderr: string): CodedError {
  const reason = stderr.trim().split('\n').at(-1) ?? ''
  const fix = /host key/i.test(stderr)
    ? `run "ssh ${target}" once and compare the fingerprint it shows`
    : /permission denied/i.test(stderr)
      ? `give it your key: ssh-copy-id ${target}`
      : `does "ssh ${target}" work?`
  return new CodedError('pi/no-ssh', `no way to ${target}: ${reason}; ${fix}`)
}
