/** The other processes of a measurement: the same main.ts, started with a role and asked over IPC. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** What a role answers to, by name; arguments and results cross the process border as JSON. */
export type Commands = Record<string, (argument: never) => unknown>

interface Request {
  name: string
  argument: unknown
}

type Answer = { result: unknown } | { error: string }

/** Serves one role in this process until the parent lets go. */
export function serve(commands: Commands): void {
  process.on('message', ({ name, argument }: Request) => {
    const command = commands[name] as ((argument: unknown) => unknown) | undefined
    if (command === undefined) fail(new Error(`no command ${name}`))
    else Promise.try(command, argument).then((result) => reply({ result }), fail)
  })
  process.on('uncaughtException', (error) => {
    fail(error)
    process.exitCode = 1
  })
  process.on('disconnect', () => process.exit())
}

function reply(message: Answer): void {
  process.send?.(message)
}

function fail(error: unknown): void {
  reply({ error: describe(error) })
}

/** A started role. One command at a time. */
export interface Worker {
  readonly pid: number
  ask<T = void>(name: string, argument?: unknown): Promise<T>
  stop(): Promise<void>
}

const main = fileURLToPath(new URL('./main.ts', import.meta.url))

export function startWorker(role: string, execArgv: string[] = []): Worker {
  const child: ChildProcess = fork(main, ['--role', role], { execArgv })
  const ended = once(child, 'exit')
  return {
    pid: child.pid ?? 0,
    async ask<T>(name: string, argument: unknown = null): Promise<T> {
      const answered = Promise.withResolvers<Answer>()
      child.once('message', (message) => answered.resolve(message as Answer))
      child.send({ name, argument } satisfies Request)
      const lost = ended.then((): Answer => ({ error: 'the process ended' }))
      const answer = await Promise.race([answered.promise, lost])
      if ('error' in answer) throw new Error(`${role}: ${answer.error}`)
      return answer.result as T
    },
    async stop() {
      if (child.connected) child.disconnect()
      await ended
    },
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
