import { createReadStream, statSync, type Stats } from 'node:fs'
import { connect } from 'node:net'
import type { Readable } from 'node:stream'
import { tcpAddress, type SerialLine } from '#config'
import { CodedError } from '#errors'

export interface PortOptions {
  /** A device or file, `tcp://host:port`, or `-`. */
  port: string
  serial: SerialLine
  /** What `-` stands for. */
  input: Readable
}

/** A port that is open. */
export interface OpenPort {
  bytes: Readable
  /** What comes is of now, and an end is a fault: a cable or a network in between. */
  live: boolean
  /** Gives the device back; destroying `bytes` does not. */
  close(): Promise<void>
}

const WATCH_MS = 500
const nothingToClose = () => Promise.resolve()

/**
 * Opens a port. Throws `port/unreachable` when trying again may help (nobody is there yet), and
 * `port/missing` or `port/denied` when only a person can.
 */
export async function openPort(options: PortOptions): Promise<OpenPort> {
  const { port, input } = options
  if (port === '-') return { bytes: input, live: false, close: nothingToClose }
  const address = tcpAddress(port)
  if (address !== null) {
    const socket = connect(address)
    await opened(socket, 'connect', port)
    return { bytes: socket, live: true, close: nothingToClose }
  }
  if (isDevice(port)) return openDevice(options)
  return { bytes: createReadStream(port), live: false, close: nothingToClose }
}

/** A file under /dev that is not there is a cable that is not plugged in. */
function isDevice(path: string): boolean {
  let stats: Stats
  try {
    stats = statSync(path)
  } catch (cause) {
    if (path.startsWith('/dev/')) throw unreachable(path, cause)
    const message = `${path}: no such file or device; name one in source.port, or --source p1:DEVICE`
    throw new CodedError('port/missing', message, { cause })
  }
  return stats.isCharacterDevice()
}

async function openDevice({ port, serial }: PortOptions): Promise<OpenPort> {
  const [{ SerialPortStream }, { autoDetect }] = await Promise.all([
    import('@serialport/stream'),
    import('@serialport/bindings-cpp'),
  ])
  const binding = autoDetect()
  const line = new SerialPortStream({ binding, path: port, ...serial, autoOpen: false })
  const open = opened(line, 'open', port)
  line.open()
  await open
  const watch = watchDevice(port, (error) => line.destroy(error))
  return {
    bytes: line,
    live: true,
    async close() {
      clearInterval(watch)
      if (line.isOpen) await new Promise<void>((resolve) => line.close(() => resolve()))
    },
  }
}

/**
 * Calls `gone` when the device is not there any more, or another one has its name. A cable that is
 * pulled reads as an endless "nothing yet" to the driver, which then only turns in circles.
 */
function watchDevice(path: string, gone: (error: Error) => void): NodeJS.Timeout {
  const before = deviceAt(path)
  return setInterval(() => {
    if (deviceAt(path) !== before) gone(new Error('the device is gone'))
  }, WATCH_MS)
}

function deviceAt(path: string): string | null {
  const stats = statSync(path, { throwIfNoEntry: false })
  return stats === undefined ? null : `${stats.ino} ${stats.rdev}`
}

async function opened(stream: Readable, event: string, port: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    stream.once('error', (error) => reject(failure(port, error)))
    stream.once(event, resolve)
  })
  // Whoever iterates is told; without a listener an error in between would end the process.
  stream.on('error', () => undefined)
}

function failure(port: string, cause: Error): CodedError {
  if (/lock/i.test(cause.message)) {
    const message = `${port}: another program has this port open (${cause.message})`
    return new CodedError('port/unreachable', message, { cause })
  }
  if (!/EACCES|permission denied/i.test(cause.message)) return unreachable(port, cause)
  const message = `${port}: this user may not open it; add it to the group dialout and log in again`
  return new CodedError('port/denied', message, { cause })
}

function unreachable(port: string, cause: unknown): CodedError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new CodedError('port/unreachable', `${port}: ${reason}`, { cause })
}
