import { createTrust, decodeCredential, issueCredential, issueRevocations } from '#credential'
import { checkRevocations, type Role, type RevocationList, type Trust } from '#credential'
import {
  createInitiator,
  createResponder,
  type ChannelLimits,
  type Identity,
  type Initiator,
  type Output,
  type Responder,
  type ResponderOutput,
} from '#channel'
import type { Crypto } from '#crypto'
import { nodeCrypto } from '#crypto-node'
import type { Clock, Random } from '#ports'
import { utf8 } from '#bytes'

/** A clock that moves only when told to. */
export class VirtualClock implements Clock {
  ms = 0
  now(): number {
    return 1_750_000_000_000 + this.ms
  }
  monotonic(): number {
    return this.ms
  }
}

/** Deterministic bytes: SHA-256 in counter mode over a seed. */
export function seededRandom(seed: number): Random {
  let counter = 0
  return (length) => {
    const out = new Uint8Array(length)
    for (let i = 0; i < length; i += 32) {
      const block = nodeCrypto.sha256(utf8(`${seed}/${counter++}`))
      out.set(block.subarray(0, Math.min(32, length - i)), i)
    }
    return out
  }
}

const NOT_BEFORE_S = 1_700_000_000
const NOT_AFTER_S = 1_800_000_000

/** An enrolment authority with everybody it has enrolled, in memory. */
export class TestAuthority {
  readonly #key
  readonly #random: Random
  readonly #crypto: Crypto
  #revoked: RevocationList | null = null

  constructor(seed = 1, crypto: Crypto = nodeCrypto) {
    this.#crypto = crypto
    this.#random = seededRandom(seed)
    this.#key = crypto.signingKey(this.#random(32))
  }

  get publicKey(): Uint8Array {
    return this.#key.publicKey
  }

  enrol(deviceId: string, role: Role, group = 'default', notAfterS = NOT_AFTER_S): Identity {
    const key = this.#crypto.signingKey(this.#random(32))
    const encoded = issueCredential({
      authority: this.#key,
      issuer: 'test-authority',
      deviceId,
      role,
      group,
      publicKey: key.publicKey,
      notBeforeS: NOT_BEFORE_S,
      notAfterS,
      id: this.#random(8),
    })
    return { credential: decodeCredential(encoded), key }
  }

  revoke(...identities: Identity[]): void {
    const ids = identities.map((identity) => identity.credential.id)
    const number = (this.#revoked?.number ?? 0) + 1
    const list = issueRevocations({ authority: this.#key, number, issuedS: NOT_BEFORE_S, ids })
    this.#revoked = checkRevocations(this.#crypto, this.publicKey, list)
  }

  trust(clock: Clock): Trust {
    return createTrust({
      crypto: this.#crypto,
      authorityKey: this.publicKey,
      now: () => Math.floor(clock.now() / 1000),
      revocations: () => this.#revoked,
    })
  }
}

export interface World {
  readonly clock: VirtualClock
  readonly authority: TestAuthority
  readonly meter: Identity
  readonly fog: Identity
  initiator(changes?: InitiatorChanges): Initiator
  responder(changes?: ResponderChanges): Responder
}

export interface InitiatorChanges {
  own?: Identity
  trust?: Trust
  node?: string
  channelId?: string
  peerRole?: Role
  group?: string
  seed?: number
  crypto?: Crypto
  limits?: Partial<ChannelLimits>
}

export interface ResponderChanges {
  own?: Identity
  trust?: Trust
  peerRole?: Role
  group?: string | null
  seed?: number
  crypto?: Crypto
  limits?: Partial<ChannelLimits>
}

/** A meter "meter-1" and a fog node "fog-1" of one authority, and channels between them. */
export function createWorld(seed = 1): World {
  const clock = new VirtualClock()
  const authority = new TestAuthority(seed)
  const meter = authority.enrol('meter-1', 'meter')
  const fog = authority.enrol('fog-1', 'fog')
  const trust = authority.trust(clock)
  return {
    clock,
    authority,
    meter,
    fog,
    initiator: ({ seed: own = seed + 1, ...changes } = {}) =>
      createInitiator({
        crypto: nodeCrypto,
        random: seededRandom(own),
        clock,
        own: meter,
        trust,
        node: 'fog-1',
        channelId: 'AAAAAAAA',
        peerRole: 'fog',
        ...changes,
      }),
    responder: ({ seed: own = seed + 2, ...changes } = {}) =>
      createResponder({
        crypto: nodeCrypto,
        random: seededRandom(own),
        clock,
        own: fog,
        trust,
        peerRole: 'meter',
        group: 'default',
        ...changes,
      }),
  }
}

/** Frames among outputs, in order. */
export function framesOf(outputs: readonly (Output | ResponderOutput)[]): Uint8Array[] {
  return outputs.flatMap((output) => (output.type === 'frame' ? [output.bytes] : []))
}

/** What happened, frames left out. */
export function eventsOf<T extends Output | ResponderOutput>(outputs: readonly T[]): T[] {
  return outputs.filter((output) => output.type !== 'frame')
}

export interface Exchange {
  readonly up: Uint8Array[]
  readonly down: Uint8Array[]
  readonly initiatorEvents: Output[]
  readonly responderEvents: ResponderOutput[]
}

/** Carries frames between the two, in order and without loss, until both are silent. */
export function exchange(
  initiator: Initiator,
  responder: Responder,
  first: readonly Output[],
  cid = initiator.channelId,
): Exchange {
  const result: Exchange = { up: [], down: [], initiatorEvents: [], responderEvents: [] }
  let outputs = first
  result.initiatorEvents.push(...eventsOf(first))
  while (outputs.length > 0) {
    const next: Output[] = []
    for (const frame of framesOf(outputs)) {
      result.up.push(frame)
      const answers = responder.receive(cid, frame)
      result.responderEvents.push(...eventsOf(answers))
      for (const answer of framesOf(answers)) {
        result.down.push(answer)
        next.push(...initiator.receive(answer))
      }
    }
    result.initiatorEvents.push(...eventsOf(next))
    outputs = next
  }
  return result
}

/** Opens the channel; throws when that fails. */
export function open(initiator: Initiator, responder: Responder): Exchange {
  const result = exchange(initiator, responder, initiator.start())
  if (initiator.state !== 'open') throw new Error('the channel did not open')
  return result
}
