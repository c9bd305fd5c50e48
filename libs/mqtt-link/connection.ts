import type { Socket } from 'node:net'
import { MqttClient, type IClientOptions } from 'mqtt'
import type { Clock } from '#ports'
import { openStream, parseAddress, readCa } from './address.ts'
import { encodePublish } from './publish.ts'
import { dateError, wasSet, type Dates } from './tls.ts'
import type { LinkOptions } from './types.ts'

const KEEPALIVE_SECONDS = 60
const CONNECT_TIMEOUT_MS = 10_000
/** How long a DISCONNECT may take to be answered by the end of the stream. */
const GOODBYE_MS = 1_000
/** Above this many bytes waiting in the socket, nothing more is accepted from the caller. */
const WRITE_LIMIT = 1_048_576

export interface ConnectionOptions extends LinkOptions {
  readonly url: string
  readonly ca?: string | Uint8Array
  readonly clientId: string
  /** What this connection subscribes to, once. */
  readonly topicFilter: string | readonly string[]
  /**
   * Only where the peer proves itself inside the connection: while this clock was never set, a
   * certificate from a root in `ca` is taken without its dates, and judged once it is; see tls.ts.
   */
  readonly clock?: Pick<Clock, 'now'>
}

export interface ConnectionEvents {
  /** Connected and subscribed. Once. */
  up(): void
  /** The broker's next packet waits until `done` is called. */
  message(topic: string, payload: Buffer, done: () => void, retained: boolean): void
  /** The socket has room again after `publish` returned false. */
  drain(): void
  /** Over, whatever the reason: `mqtt-link/…` and words. Once, and the last event. */
  down(code: DownCode, reason: string): void
}

/** `not-admitted`: accepted as a client, but not allowed what a channel needs. */
export type DownCode =
  'mqtt-link/disconnected' | 'mqtt-link/untrusted-broker' | 'mqtt-link/not-admitted'

/** One MQTT connection, from connecting to closed. It never reconnects; its owner makes another. */
export interface Connection {
  /** False when the bytes were not taken: not up, or too much waiting. */
  publish(topic: string, payload: Uint8Array): boolean
  close(): Promise<void>
  /** Ends it without a word, as a lost network does. */
  drop(): void
}

/** Begins connecting. Throws `mqtt-link/bad-url`, `bad-ca`; everything later arrives as `down`. */
export function openConnection(options: ConnectionOptions, events: ConnectionEvents): Connection {
  const address = parseAddress(options.url)
  const ca = readCa(options.ca)
  const { clock, log, url } = options
  /** Of a certificate that was taken without them. */
  let unjudged: Dates | null = null
  const undated = clock && {
    clock,
    onTaken(dates: Dates) {
      unjudged = dates
      const notBefore = new Date(dates.fromMs).toISOString()
      log?.warn(
        { url, notBefore },
        'the clock was never set: took the certificate without its dates',
      )
    },
  }
  const client = new MqttClient(() => openStream(address, ca, undated), clientOptions(options))
  let state: 'opening' | 'up' | 'down' = 'opening'
  let reason = 'the broker closed the connection'
  let code: DownCode = 'mqtt-link/disconnected'
  let timer = setTimeout(
    () => abort(new Error('no answer from the broker')),
    options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
  )

  function abort(error: Error): void {
    reason = error.message
    if (isCertificateError(error)) code = 'mqtt-link/untrusted-broker'
    client.stream.destroy()
  }

  function judgeDates(): void {
    if (unjudged === null || clock === undefined || !wasSet(clock)) return
    const error = dateError(unjudged, clock.now())
    unjudged = null
    if (error !== null) abort(error)
  }

  /** Packets of the same turn leave in one piece; a commit's receipts are hundreds. */
  let corked = false
  function gather(socket: Socket): void {
    corked = true
    socket.cork()
    client.reschedulePing()
    process.nextTick(() => {
      corked = false
      socket.uncork()
    })
  }

  client.handleMessage = (packet, done) => {
    if (state !== 'up') return done()
    events.message(packet.topic, packet.payload as Buffer, done, packet.retain)
  }
  client.on('packetreceive', judgeDates)
  client.on('error', abort)
  client.stream.on('error', (error) => {
    reason = error.message
    if (isCertificateError(error)) code = 'mqtt-link/untrusted-broker'
  })
  client.on('connect', () => {
    code = 'mqtt-link/not-admitted'
    const filters = [options.topicFilter].flat()
    client.subscribe(filters, { qos: 0 }, (error, granted = []) => {
      const all = granted.length > 0 && granted.every(({ qos }) => qos === 0)
      if (error || !all) return abort(error ?? new Error('subscription refused'))
      clearTimeout(timer)
      state = 'up'
      code = 'mqtt-link/disconnected'
      client.stream.on('drain', () => events.drain())
      events.up()
    })
  })
  const closed = new Promise<void>((resolve) => {
    client.on('close', () => {
      clearTimeout(timer)
      if (state !== 'down') {
        state = 'down'
        events.down(code, reason)
      }
      resolve()
    })
  })

  return {
    publish(topic, payload) {
      judgeDates()
      if (state !== 'up' || !client.connected || client.disconnecting) return false
      const socket = client.stream as Socket
      if (socket.writableLength > WRITE_LIMIT) return false
      if (!corked) gather(socket)
      socket.write(encodePublish(topic, payload))
      return true
    },
    close() {
      reason = 'closed'
      if (!client.connected) client.stream.destroy()
      else if (!client.disconnecting) {
        client.end()
        // A peer that does not hang up, or packets held back here, must not keep us.
        timer = setTimeout(() => client.stream.destroy(), GOODBYE_MS)
      }
      return closed
    },
    drop: () => void client.stream.destroy(),
  }
}

/** What Node's TLS says when it is the certificate that it does not like (OpenSSL's X509_V_ERR_…). */
const CERTIFICATE_ERROR =
  /^(CERT_|SELF_SIGNED_CERT|DEPTH_ZERO|UNABLE_TO_(GET_ISSUER|VERIFY)|INVALID_CA|HOSTNAME_MISMATCH|ERR_TLS_CERT_ALTNAME)/

function isCertificateError(error: Error & { code?: unknown }): boolean {
  return typeof error.code === 'string' && CERTIFICATE_ERROR.test(error.code)
}

/** Everything mqtt.js would do by itself to keep or repeat things is off: the outbox is ours. */
function clientOptions(options: ConnectionOptions): IClientOptions {
  const { clientId, username, password } = options
  return {
    clientId,
    protocolVersion: 4,
    clean: true,
    reconnectPeriod: 0,
    resubscribe: false,
    queueQoSZero: false,
    keepalive: options.keepaliveSeconds ?? KEEPALIVE_SECONDS,
    connectTimeout: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    log: () => undefined,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  }
}
