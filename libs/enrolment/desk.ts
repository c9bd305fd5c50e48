/**
 * The cloud's side of enrolment: approvals come from the operator, requests from anywhere. One
 * approval makes one credential; the same key asking again gets the same answer, so that a lost one
 * does no harm.
 */
import { equal, toHex } from '#bytes'
import { NAME_PATTERN, type Credential } from '#credential'
import { checkPublicKey, type Crypto } from '#crypto'
import { codeOf, CodedError } from '#errors'
import type { Clock } from '#ports'
import { claimCode, fingerprintOf } from './code.ts'
import { enrolmentError } from './errors.ts'
import { APPROVAL_S, MOST_REFUSALS, MOST_WAITING } from './limits.ts'
import { decodeRequest, type EnrolmentRequest } from './request.ts'
import type { Approval, Enrolment, EnrolmentStore } from './store.ts'

/** What a device hears: its credential, or that it has to wait and for what. */
export type EnrolmentAnswer =
  | { status: 'enrolled'; credential: Uint8Array }
  | { status: 'waiting'; for: 'approval' | 'signature' }

/** A key that asked and that nobody approved. */
export interface Waiting {
  publicKey: Uint8Array
  /** Its eight words. */
  code: string
  /** What it would like to be called. */
  name: string | null
  /** Where the last request came from, and when: s since 1970. */
  origin: string
  lastS: number
}

/** A request that was refused for a reason an operator may want to know. */
export interface Refusal {
  code: string
  name: string | null
  /** Eight words of the key that asked. */
  key: string
  origin: string
  timeS: number
}

export interface DeskOptions {
  crypto: Crypto
  clock: Pick<Clock, 'now'>
  store: EnrolmentStore
  /**
   * Signs a credential, the same one for the same name and key; null when the authority is
   * elsewhere. @throws identity/already-enrolled, …
   */
  issue(enrolment: Enrolment): Uint8Array | null
  /** Throws what `issue` would throw for a new key, where that is known in advance. */
  checkName(name: string, replace: boolean): void
  onRefused(refusal: Refusal): void
}

export interface EnrolmentDesk {
  /** Until when the approval counts, s since 1970. @throws enrolment/malformed, identity/… */
  approve(approval: Pick<Approval, 'id' | 'name' | 'replace'>): number
  /** @throws enrolment/…, identity/… */
  ask(request: Uint8Array, origin: string): EnrolmentAnswer
  /** A credential signed elsewhere, checked by the caller. @throws enrolment/not-asked */
  deliver(credential: Credential): void
  waiting(): Waiting[]
  refusals(): Refusal[]
}

export function createEnrolmentDesk(options: DeskOptions): EnrolmentDesk {
  const { crypto, store } = options
  /** By key in hex, the one that asked longest ago first. */
  const waiting = new Map<string, Waiting>()
  const refusals: Refusal[] = []
  const nowS = () => Math.floor(options.clock.now() / 1000)

  function approve(wanted: Pick<Approval, 'id' | 'name' | 'replace'>): number {
    if (!NAME_PATTERN.test(wanted.name)) throw enrolmentError('malformed', 'not a device name')
    options.checkName(wanted.name, wanted.replace)
    const expiresS = nowS() + APPROVAL_S
    const before = store.approval(wanted.id)
    // Registered again, an answer may have been lost: what it was used for stays.
    const usedBy = before?.name === wanted.name ? before.usedBy : null
    store.saveApproval({ ...wanted, expiresS, usedBy })
    return expiresS
  }

  function ask(bytes: Uint8Array, origin: string): EnrolmentAnswer {
    const request = decodeRequest(crypto, bytes)
    try {
      return answer(request, origin)
    } catch (error) {
      report(request, origin, codeOf(error))
      throw error
    }
  }

  function answer(request: EnrolmentRequest, origin: string): EnrolmentAnswer {
    const { publicKey } = request
    const id = request.tokenKey ?? fingerprintOf(crypto, publicKey)
    const approval = store.approval(id)
    if (approval === null) {
      if (request.tokenKey !== null) throw unknownToken()
      return remember(request, origin)
    }
    if (approval.usedBy === null) accept(request, approval)
    else if (!equal(approval.usedBy, publicKey)) throw tokenUsed(approval.name)
    waiting.delete(toHex(publicKey))
    return settle(publicKey)
  }

  /** Everything is checked before the approval is spent. */
  function accept({ publicKey, name: asked }: EnrolmentRequest, approval: Approval): void {
    const { id, name, replace } = approval
    if (asked !== null && asked !== name) throw wrongName(asked)
    if (nowS() >= approval.expiresS) throw expired(name)
    checkKey(publicKey)
    store.accept(id, { publicKey, name, replace, acceptedS: nowS(), credential: null })
  }

  function settle(publicKey: Uint8Array): EnrolmentAnswer {
    const enrolment = store.enrolment(publicKey)
    if (enrolment === null)
      throw new CodedError('enrolment/store-damaged', 'a used approval has no enrolment')
    if (enrolment.credential !== null)
      return { status: 'enrolled', credential: enrolment.credential }
    const credential = options.issue(enrolment)
    if (credential === null) return { status: 'waiting', for: 'signature' }
    store.saveCredential(publicKey, credential)
    return { status: 'enrolled', credential }
  }

  function remember({ publicKey, name }: EnrolmentRequest, origin: string): EnrolmentAnswer {
    const key = toHex(publicKey)
    const code = claimCode(fingerprintOf(crypto, publicKey))
    waiting.delete(key)
    waiting.set(key, { publicKey, code, name, origin, lastS: nowS() })
    if (waiting.size > MOST_WAITING) waiting.delete(waiting.keys().next().value as string)
    return { status: 'waiting', for: 'approval' }
  }

  function report({ publicKey, name }: EnrolmentRequest, origin: string, code: string): void {
    const key = claimCode(fingerprintOf(crypto, publicKey))
    const refusal = { code, name, key, origin, timeS: nowS() }
    refusals.push(refusal)
    if (refusals.length > MOST_REFUSALS) refusals.shift()
    options.onRefused(refusal)
  }

  function deliver({ publicKey, deviceId, role, encoded }: Credential): void {
    const enrolment = store.enrolment(publicKey)
    if (enrolment === null || enrolment.name !== deviceId || role !== 'fog')
      throw enrolmentError(
        'not-asked',
        `nobody asked for a credential of fog "${deviceId}" with this key`,
      )
    store.saveCredential(publicKey, encoded)
  }

  return {
    approve,
    ask,
    deliver,
    waiting: () => [...waiting.values()].toReversed(),
    refusals: () => refusals.toReversed(),
  }
}

function checkKey(publicKey: Uint8Array): void {
  try {
    checkPublicKey(publicKey)
  } catch (error) {
    throw enrolmentError('malformed', 'enrolment request: not a public key of prime order', error)
  }
}

const again = 'prepare its card again ("fogmeter pi prepare"), which makes a new token'

function unknownToken(): Error {
  return enrolmentError(
    'unknown-token',
    `this cloud does not know the token; ${again} for this cloud`,
  )
}

function wrongName(asked: string): Error {
  return enrolmentError(
    'wrong-name',
    `the token was not made for "${asked}"; ${again}, or put the right name into node.toml`,
  )
}

function tokenUsed(name: string): Error {
  return enrolmentError(
    'token-used',
    `the token for "${name}" was used already, by another key. If this is a new card or a new key, ` +
      `${again}; if nobody else should have had the token, revoke "${name}" first`,
  )
}

function expired(name: string): Error {
  return enrolmentError('expired', `the approval for "${name}" is older than 24 hours; ${again}`)
}
