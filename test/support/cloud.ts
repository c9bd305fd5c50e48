import {
  checkRevocations,
  createTrust,
  decodeCredential,
  issueCredential,
  issueRevocations,
} from '#credential'
import type { Credential, RevocationList, Role } from '#credential'
import type { SigningKey } from '#crypto'
import { nodeCrypto } from '#crypto-node'
import { createCloud } from '#cloud'
import type { Cloud, CloudOutput, CloudStore } from '#cloud'
import { decodeDown, encodeItems, encodeItem, encodeUp } from '#messages'
import type { Down, FogStatus, Gap, Item, Summary } from '#messages'
import type { Clock } from '#ports'
import { registerEnvelope, signStatement } from '#reading'
import type { Statement } from '#reading'

/** 2026-01-01, when every test of the cloud begins. */
export const startS = 1_767_225_600

export interface TestDevice {
  credential: Credential
  key: SigningKey
}

const authority = nodeCrypto.signingKey(new Uint8Array(32).fill(1))

/** A device with its own key; `seed` other than 0 stands for re-enrolment or another authority. */
export function device(
  role: Role,
  deviceId: string,
  options: { group?: string; seed?: number; issuer?: SigningKey; notAfterS?: number } = {},
): TestDevice {
  const { group = 'default', seed = 0, notAfterS = startS + 365 * 86_400 } = options
  const name = new TextEncoder().encode(`${role} ${deviceId} ${group} ${seed}`)
  const secret = nodeCrypto.sha256(name)
  const key = nodeCrypto.signingKey(secret)
  const encoded = issueCredential({
    authority: options.issuer ?? authority,
    issuer: 'test',
    id: nodeCrypto.sha256(secret).slice(0, 8),
    deviceId,
    role,
    group,
    publicKey: key.publicKey,
    notBeforeS: startS - 86_400 + seed,
    notAfterS,
  })
  return { credential: decodeCredential(encoded), key }
}

export function revocationList(number: number, revoked: readonly TestDevice[]): RevocationList {
  const ids = revoked.map(({ credential }) => credential.id)
  const bytes = issueRevocations({ authority, number, issuedS: startS, ids })
  return checkRevocations(nodeCrypto, authority.publicKey, bytes)
}

/** A summary that could be true; change what the test is about. */
export function summary(changes: Partial<Summary> = {}): Summary {
  return {
    startS,
    endS: startS + 900,
    revision: 0,
    meters: 2,
    readings: 30,
    powerSumW: 15_000,
    powerMinW: 100,
    powerMaxW: 900,
    voltageSumDv: 69_000,
    voltageCount: 30,
    voltageMinDv: 2_280,
    voltageMaxDv: 2_320,
    importWh: 125,
    exportWh: 0,
    quality: { estimated: 0, unknownTime: 0, substitute: 0 },
    ...changes,
  }
}

export function summaryItem(changes: Partial<Summary> = {}): Item {
  return { type: 'summary', summary: summary(changes) }
}

/** What a meter says about its registers up to reading `last`: 15 min and 100 Wh for each 15. */
export function statement(
  deviceId: string,
  last: number,
  changes: Partial<Statement> = {},
): Statement {
  const first = Math.max(1, last - 14)
  return {
    deviceId,
    first,
    last,
    skipped: [],
    previousChain: new Uint8Array(32),
    chain: nodeCrypto.sha256(new Uint8Array([last & 255, last >> 8])),
    startTimeS: startS + first * 60,
    endTimeS: startS + last * 60,
    startImportWh: 1_000 + first * 7,
    startExportWh: 0,
    endImportWh: 1_000 + last * 7,
    endExportWh: 0,
    status: 0,
    ...changes,
  }
}

export function register(meter: TestDevice, last: number, changes: Partial<Statement> = {}): Item {
  const content = statement(meter.credential.deviceId, last, changes)
  const signature = signStatement(meter.key, content)
  return { type: 'register', envelope: registerEnvelope({ statement: content, signature }) }
}

/** What a healthy fog says about itself. */
export const fogStatus: FogStatus = {
  timeS: startS,
  uptimeS: 5,
  metersKnown: 2,
  metersOnline: 1,
  readings: 30,
  blocks: 2,
  refused: { 'bad-signature': 2, early: 1 },
  outbox: 3,
  storeBytes: 4_096,
  version: '0.1.0',
}

export function credentialItem({ credential }: TestDevice): Item {
  return { type: 'credential', cwt: credential.encoded }
}

/** Five readings of the kitchen's meter that never came, around noon; change what the test is about. */
export function gapItem(changes: Partial<Gap> = {}): Item {
  const gap: Gap = {
    deviceId: 'kitchen',
    kind: 'missing',
    first: 16,
    last: 20,
    startS: startS + 900,
    endS: startS + 1_260,
    readings: 0,
    importWh: 42,
    exportWh: 0,
  }
  return { type: 'gap', gap: { ...gap, ...changes } }
}

export interface TestCloud {
  cloud: Cloud
  clock: { nowMs: number; monotonicMs: number } & Clock
  revocations: { list: RevocationList | null }
  /** Sends one message and commits at once; the outputs of that commit. */
  deliver: (fog: TestDevice, cid: string, message: Uint8Array) => CloudOutput[]
  connect: (fog: TestDevice, cid: string) => void
}

/** A drain over `store` with a clock that stands still until the test moves it. */
export function testCloud(store: CloudStore): TestCloud {
  const clock = {
    nowMs: startS * 1_000,
    monotonicMs: 0,
    now: () => clock.nowMs,
    monotonic: () => clock.monotonicMs,
  }
  const revocations: TestCloud['revocations'] = { list: null }
  const trust = createTrust({
    crypto: nodeCrypto,
    authorityKey: authority.publicKey,
    now: () => null,
    revocations: () => revocations.list,
  })
  const cloud = createCloud({ crypto: nodeCrypto, clock, store, trust })
  return {
    cloud,
    clock,
    revocations,
    connect: (fog, cid) => void cloud.opened(cid, fog.credential),
    deliver(fog, cid, message) {
      const outputs = cloud.received(cid, fog.credential, message)
      return [...outputs, ...cloud.flush()]
    },
  }
}

export function hello(oldestHeld: number, next: number): Uint8Array {
  return encodeUp({ type: 'hello', oldestHeld, next })
}

export function items(first: number, list: readonly Item[]): Uint8Array {
  return encodeItems(first, list.map(encodeItem))
}

/** The messages among the outputs, decoded, whoever they go to. */
export function sent(outputs: readonly CloudOutput[]): Down[] {
  return outputs.flatMap((output) => (output.type === 'send' ? [decodeDown(output.payload)] : []))
}
