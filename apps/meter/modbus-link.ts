import { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import type { ModbusSource } from '#config'
import { CodedError } from '#errors'
import type { ReadRegisters } from '#modbus'
import { openPort, type OpenPort } from './port.ts'
import { createRtuPort } from './rtu-port.ts'

/** A connection to a device, of which registers can be asked. */
export interface ModbusLink {
  /** Rejects with `modbus/refused`, `…/exception`, `…/silent`, `…/bad-answer` or `port/lost`. */
  read: ReadRegisters
  close(): Promise<void>
}

export interface ModbusLinkOptions {
  source: Pick<ModbusSource, 'port' | 'unit' | 'serial'>
  /** How long an answer may take. */
  answerMs: number
  signal: AbortSignal
}

/** A line is still for 3.5 characters between messages (MODBUS over Serial Line 1.02 §2.5.1.1). */
const RTU_PAUSE_MS = 50

/** MODBUS Application Protocol 1.1b3 §7. The first three say that what was asked for is not there. */
const exceptions: Readonly<Record<number, string>> = {
  1: 'it does not know this function',
  2: 'it has no registers there',
  3: 'it does not give so many registers at once',
  4: 'it failed',
  5: 'it needs longer',
  6: 'it is busy',
  8: 'its memory is damaged',
  10: 'the gateway has no way to it: is the unit number right?',
  11: 'it does not answer the gateway: is the unit number right?',
}
const LAST_REFUSAL = 3

/** Opens the port, asks nothing yet. Throws as `openPort`. */
export async function openModbus({
  source,
  answerMs,
  signal,
}: ModbusLinkOptions): Promise<ModbusLink> {
  const { default: ModbusRTU } = await import('modbus-serial')
  const { wire, port } = await openWire(source)
  const lost = lossOf(wire, signal)
  const line = wire instanceof Socket ? null : createRtuPort(wire)
  const client = new ModbusRTU.default(line ?? undefined)
  if (wire instanceof Socket) await linked(client.linkTCP(wire, { port: 0 }), port)
  else client.open()
  client.setID(source.unit)
  client.setTimeout(answerMs)

  const read: ReadRegisters = async (table, first, count) => {
    const what = `unit ${source.unit}, ${table} registers ${first} to ${first + count - 1}`
    if (line !== null) await delay(RTU_PAUSE_MS)
    const asked =
      table === 'input'
        ? client.readInputRegisters(first, count)
        : client.readHoldingRegisters(first, count)
    const answer = asked.catch((cause: unknown) => {
      throw failure(what, cause, { answerMs, heard: line?.heard() ?? 0 })
    })
    const { data } = await Promise.race([answer, lost])
    if (data.length === count) return data
    throw badAnswer(what, `${data.length} registers came instead of ${count}`)
  }

  return {
    read,
    async close() {
      wire.destroy()
      await port.close()
    },
  }
}

async function openWire({
  port: name,
  serial,
}: ModbusLinkOptions['source']): Promise<{ wire: Duplex; port: OpenPort }> {
  const port = await openPort({ port: name, serial, input: process.stdin })
  if (port.bytes instanceof Duplex) return { wire: port.bytes, port }
  port.bytes.destroy()
  const message = `${name}: a file; Modbus needs a serial device or tcp://host:port`
  throw new CodedError('port/missing', message)
}

/** A device that hangs up at once is one that has no room for us. */
async function linked(linking: Promise<void>, port: OpenPort): Promise<void> {
  try {
    await linking
  } catch (cause) {
    await port.close()
    throw new CodedError('port/unreachable', 'the device hung up at once', { cause })
  }
}

/** Rejects when the wire is gone; nobody has to listen. */
function lossOf(wire: Duplex, signal: AbortSignal): Promise<never> {
  const lost = new Promise<never>((_, reject) => {
    const gone = () => reject(new CodedError('port/lost', 'the connection to the device ended'))
    wire.once('close', gone)
    wire.once('end', gone)
    signal.addEventListener('abort', gone, { once: true })
    wire.once('close', () => signal.removeEventListener('abort', gone))
  })
  lost.catch(() => undefined)
  return lost
}

function failure(
  what: string,
  cause: unknown,
  { answerMs, heard }: { answerMs: number; heard: number },
): CodedError {
  const { modbusCode, errno, message } = cause as {
    modbusCode?: number
    errno?: string
    message?: string
  }
  if (modbusCode !== undefined) {
    const code = modbusCode <= LAST_REFUSAL ? 'modbus/refused' : 'modbus/exception'
    const why = exceptions[modbusCode] ?? 'for no reason that is known here'
    return new CodedError(code, `${what}: the device refuses (exception ${modbusCode}): ${why}`)
  }
  if (errno !== 'ETIMEDOUT') return badAnswer(what, message ?? 'no reason given')
  if (heard > 0) return badAnswer(what, `${heard} bytes came, which are no answer to it`)
  return new CodedError(
    'modbus/silent',
    `${what}: no answer within ${answerMs / 1_000} s: is the unit number right, and the wiring?`,
  )
}

function badAnswer(what: string, why: string): CodedError {
  return new CodedError('modbus/bad-answer', `${what}: ${why}`)
}
