import type { Credential } from '#credential'
import type { Epochs } from './epochs.ts'

/** A finished handshake whose answers may still be asked for again. */
export interface Finished {
  readonly cR: number
  readonly message1: Uint8Array
  readonly message3: Uint8Array
  readonly frame4: Uint8Array
}

/** A channel with an authenticated peer. */
export interface Session {
  readonly cid: string
  peer: Credential
  readonly epochs: Epochs
  /** Kept until the peer has used the keys, which shows that message_4 arrived. */
  finished: Finished | null
  handshakeAtMs: number
  alarmed: boolean
}

/** Sessions by channel and by device. */
export class SessionTable {
  readonly #byChannel = new Map<string, Session>()
  readonly #byDevice = new Map<string, Set<string>>()

  get size(): number {
    return this.#byChannel.size
  }

  get(cid: string): Session | undefined {
    return this.#byChannel.get(cid)
  }

  all(): Iterable<Session> {
    return this.#byChannel.values()
  }

  add(session: Session): void {
    const { deviceId } = session.peer
    this.#byChannel.set(session.cid, session)
    const channels = this.#byDevice.get(deviceId) ?? new Set()
    channels.add(session.cid)
    this.#byDevice.set(deviceId, channels)
  }

  delete(session: Session): void {
    const { deviceId } = session.peer
    this.#byChannel.delete(session.cid)
    const channels = this.#byDevice.get(deviceId)
    channels?.delete(session.cid)
    if (channels?.size === 0) this.#byDevice.delete(deviceId)
  }

  /** Channels of a device, oldest first. */
  channelsOf(deviceId: string): string[] {
    return [...(this.#byDevice.get(deviceId) ?? [])]
  }
}
