import { addAbortSignal, type Readable } from 'node:stream'
import type { PortSource } from '#config'
import { CodedError } from '#errors'
import type { Frame, Telegram } from '#telegram'
import { formatOf, type Format } from './formats.ts'
import { openPort, type OpenPort } from './port.ts'
import type { PortReport } from './port-report.ts'
import { mayPass, reopening } from './reopen.ts'

export interface TelegramOptions {
  source: PortSource
  /** What the port `-` stands for. */
  input: Readable
  signal: AbortSignal
  report: PortReport
  /** Gets every byte as it comes. */
  record?: ((bytes: Uint8Array) => void) | undefined
  /** Bounds of the waits between attempts to open, and how long silence is believed. */
  waits?: { firstMs: number; maxMs: number; silenceMs: number } | undefined
}

/** A telegram, and whether it came just now or stands in a file. */
export interface Received {
  telegram: Telegram
  live: boolean
}

/** A cable is back soon or late; meters speak every ten seconds at the least. */
const WAITS = { firstMs: 1_000, maxMs: 30_000, silenceMs: 60_000 }

const SILENT = 'port/silent'

interface Session extends TelegramOptions {
  format: Format
  /** It was open once. */
  wasLive: boolean
}

/**
 * The telegrams of a port. A device or connection that fails is opened again and again; a file or
 * pipe ends. Telegrams that cannot be used are told to the log. Throws `port/missing`,
 * `port/denied`, `port/no-key`, `port/bad-key`.
 */
export async function* telegrams(options: TelegramOptions): AsyncGenerator<Received, void> {
  const { source, waits = WAITS } = options
  const session = { ...options, waits, format: formatOf(source), wasLive: false }
  yield* reopening({ ...options, waits }, (onTelegram) => oneSession(session, onTelegram))
}

/** Until the port fails, with the reason; null when it is a file that has ended. */
async function* oneSession(
  session: Session,
  onTelegram: () => void,
): AsyncGenerator<Received, CodedError | null> {
  let port: OpenPort
  try {
    port = await openPort({ ...session.source, input: session.input })
  } catch (error) {
    if (mayPass(error, session.wasLive)) return error
    throw error
  }
  session.wasLive = port.live
  session.report.opened(port.live)
  try {
    for await (const telegram of read(port, session)) {
      onTelegram()
      yield { telegram, live: port.live }
    }
  } catch (error) {
    if (session.signal.aborted) return null
    return broken(port, error)
  } finally {
    port.bytes.destroy()
    await port.close()
  }
  return port.live ? new CodedError('port/closed', 'the other side closed the connection') : null
}

async function* read(port: OpenPort, session: Session): AsyncGenerator<Telegram, void> {
  const { format, signal, waits = WAITS, record } = session
  const framer = format.framer()
  const bytes = addAbortSignal(signal, port.bytes)
  const silence = setTimeout(() => {
    if (port.live) bytes.destroy(silent(waits.silenceMs))
  }, waits.silenceMs)
  try {
    for await (const chunk of bytes as AsyncIterable<Uint8Array>) {
      silence.refresh()
      record?.(chunk)
      yield* parsed(framer.push(chunk), session)
    }
    yield* parsed(framer.end(), session)
  } finally {
    clearTimeout(silence)
  }
}

function* parsed(frames: readonly Frame[], { format, report }: Session): Generator<Telegram, void> {
  for (const frame of frames) {
    const telegram = 'lost' in frame ? frame.lost : parseOne(frame.bytes, format)
    if (telegram === null) continue
    if (telegram instanceof CodedError) report.refused(telegram)
    else {
      report.telegram(telegram)
      yield telegram
    }
  }
}

function parseOne(bytes: Uint8Array, format: Format): Telegram | CodedError | null {
  try {
    return format.parse(bytes)
  } catch (error) {
    if (error instanceof CodedError) return error
    throw error
  }
}

function silent(ms: number): CodedError {
  const message =
    `nothing came for ${Math.round(ms / 1_000)} s: is the cable in, does the meter's port have ` +
    'to be switched on, does the reader head sit right?'
  return new CodedError(SILENT, message)
}

/** A cable that was pulled, or silence; anything else is thrown on. */
function broken(port: OpenPort, error: unknown): CodedError {
  if (error instanceof CodedError) {
    if (error.code === SILENT) return error
    throw error
  }
  const reason = error instanceof Error ? error.message : String(error)
  if (port.live)
    return new CodedError('port/lost', `the connection broke: ${reason}`, { cause: error })
  throw new CodedError('port/unreadable', `the file cannot be read: ${reason}`, { cause: error })
}
