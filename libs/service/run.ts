import { codeOf, CodedError, exitCodeOf, exitCodes } from '#errors'
import { createLogger, type Logger } from './logger.ts'
import { createNotify, type Notify } from './notify.ts'

/** What a starting program gets. */
export interface ServiceContext {
  /** Set `log.level` from the configuration once it is read. */
  log: Logger
  /** Aborted when stopping begins; for work that waits. */
  signal: AbortSignal
  notify: Notify
  /** Something the program cannot go on with: logged, then stopped in order; the exit code says why. */
  fail(error: unknown): void
}

/** A running program. */
export interface RunningService {
  /** Ends everything in order: no new work, finish what is begun, close files. */
  stop(): Promise<void>
  /** For `systemctl status`. */
  status?: string
}

export interface ServiceOptions {
  name: string
  /** `stop` gets this long before the process ends without it; 10 000 when absent. */
  stopTimeoutMs?: number
  start(context: ServiceContext): Promise<RunningService>
}

/**
 * Runs a program until SIGINT or SIGTERM, then stops it in order and within a bound; a second signal
 * ends it at once. Exit code 0 after an ordered stop, that of the error (see #errors) when it could
 * not start or go on, 1 after anything else. An error nobody expected is logged with its code and ends the process: what it left behind cannot be trusted,
 * and every program here is made to be restarted at any moment. One that was started with a channel
 * to its parent (`stdio: 'ipc'`) ends with the parent.
 */
export async function runService(options: ServiceOptions): Promise<void> {
  const log = createLogger({ name: options.name })
  crashOn('uncaughtException', log)
  crashOn('unhandledRejection', log)
  endWithParent(log)
  const notify = createNotify((error) => log.debug({ err: error }, 'systemd was not reached'))
  const stopping = new AbortController()
  const ended = Promise.withResolvers<number>()
  const begin = (exitCode: number) => {
    if (stopping.signal.aborted) return
    ended.resolve(exitCode)
    notify.stopping()
    stopping.abort()
  }
  onSignals(log, stopping.signal, begin)
  const fail = (error: unknown) => {
    // Our own errors say in words what to do; only a surprise needs its stack.
    const data = error instanceof CodedError ? { detail: error.message } : { err: error }
    log.error({ code: codeOf(error), ...data }, 'cannot go on')
    begin(exitCodeOf(error))
  }

  const running = await startOrExit(options, { log, signal: stopping.signal, notify, fail })
  if (!stopping.signal.aborted) notify.ready(running.status)
  const exitCode = await ended.promise
  process.exit((await stopped(running, options.stopTimeoutMs ?? 10_000, log)) ? exitCode : 1)
}

function crashOn(event: 'uncaughtException' | 'unhandledRejection', log: Logger): void {
  process.on(event, (error: unknown) => {
    log.fatal({ code: codeOf(error), err: error }, 'unexpected error')
    process.exit(1)
  })
}

/** However the parent ended: nobody would stop this program any more. */
function endWithParent(log: Logger): void {
  const end = () => {
    log.warn({ event: 'orphaned' }, 'the program that started this one is gone; ending too')
    process.exit(exitCodes.failure)
  }
  // Absent where there never was a channel; false when the parent went while this one loaded.
  if ('connected' in process && !process.connected) end()
  process.on('disconnect', end)
}

function onSignals(log: Logger, stopping: AbortSignal, begin: (exitCode: number) => void): void {
  for (const name of ['SIGINT', 'SIGTERM'] as const) {
    process.on(name, () => {
      if (stopping.aborted) process.exit(1)
      log.info({ event: 'stopping', signal: name }, 'stopping')
      begin(exitCodes.ok)
    })
  }
}

async function startOrExit(
  options: ServiceOptions,
  context: ServiceContext,
): Promise<RunningService> {
  try {
    return await options.start(context)
  } catch (error) {
    if (!(error instanceof CodedError)) throw error
    reportStart(error, context.log)
    return process.exit(exitCodeOf(error))
  }
}

/** One line for each line of the message: a configuration file may have several things wrong. */
function reportStart(error: CodedError, log: Logger): void {
  for (const line of error.message.split('\n')) log.error({ code: error.code }, line)
}

async function stopped(running: RunningService, boundMs: number, log: Logger): Promise<boolean> {
  const bound = new Promise<'late'>((resolve) => setTimeout(resolve, boundMs, 'late').unref())
  try {
    if ((await Promise.race([running.stop(), bound])) !== 'late') {
      log.info({ event: 'stopped' }, 'stopped')
      return true
    }
    log.error({ code: 'service/stop-timeout', boundMs }, 'stopping took too long')
  } catch (error) {
    log.error({ code: codeOf(error), err: error }, 'stopping failed')
  }
  return false
}
