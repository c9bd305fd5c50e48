import { concat, toHex, utf8 } from '#bytes'
import { handshakeFrame } from '#channel'
import { encStructure } from '#cose'
import { decodeCredential, issueCredential, type Credential, type Role } from '#credential'
import type { SigningKey } from '#crypto'
import { nativeCrypto } from '#crypto-native'
import {
  initiatorMessage2,
  initiatorMessage4,
  kcwt,
  kcwtFrom,
  responderMessage1,
  responderMessage3,
  startInitiator,
  suite4,
  type Exporter,
  type OwnCredential,
  type ResolvePeer,
} from '#edhoc'
import { encodeDown, encodeUp } from '#messages'
import {
  buildBlock,
  chain,
  encodeBlock,
  encodeLive,
  encodeReading,
  encodeStatement,
  firstChain,
  statementToSign,
  type Reading,
} from '#reading'
import { counterOf, encodeHead, recordLabels, type Direction } from '#record'
import { halfKeys, sealRecord, type HalfKeys } from './records.ts'

/** Nothing here is secret: these keys are published with the page that shows what follows from them. */
const SECRETS = { authority: 0xa0, meter: 0xb1, fog: 0xc2, x: 0xd3, y: 0xe4 } as const
const CHANNEL_ID = 'AbCd1234'
const [C_I, C_R] = [0x20, 0x2d]
const METER = 'meter-1'
const FOG = 'fog-1'
const [NOT_BEFORE_S, NOT_AFTER_S] = [1_760_000_000, 1_920_000_000]
const PER_LINE = 96

const readings: readonly Reading[] = [
  {
    number: 1,
    timeS: 1_769_904_000,
    powerW: 412,
    voltageDv: 2_312,
    currentMa: 1_782,
    importWh: 4_711_000,
    exportWh: 0,
    status: 0,
  },
  {
    number: 2,
    timeS: 1_769_904_060,
    powerW: 398,
    voltageDv: 2_310,
    currentMa: 1_723,
    importWh: 4_711_007,
    exportWh: 0,
    status: 0,
  },
]

/** The lines of a transcript: headings, and values under their names. */
class Lines {
  readonly #lines: string[] = []

  heading(text: string): void {
    this.#lines.push('', `== ${text}`, '')
  }

  text(line: string): void {
    this.#lines.push(line)
  }

  value(name: string, bytes: Uint8Array): void {
    this.#lines.push(`${name} (${bytes.length} bytes)`)
    const hex = toHex(bytes)
    for (let at = 0; at < hex.length; at += PER_LINE)
      this.#lines.push(`  ${hex.slice(at, at + PER_LINE)}`)
  }

  toString(): string {
    return `${this.#lines.join('\n').trimStart()}\n`
  }
}

interface Party {
  readonly own: OwnCredential
  readonly credential: Credential
  readonly key: SigningKey
}

/** 32 bytes that anybody can write down: first, first + 1, … */
function secret(first: number): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, index) => (first + index) & 0xff)
}

function party(authority: SigningKey, name: string, role: Role, first: number): Party {
  const key = nativeCrypto.signingKey(secret(first))
  const encoded = issueCredential({
    authority,
    issuer: 'example',
    deviceId: name,
    role,
    group: 'default',
    publicKey: key.publicKey,
    notBeforeS: NOT_BEFORE_S,
    notAfterS: NOT_AFTER_S,
    id: secret(first).slice(0, 8),
  })
  const own = { idCred: kcwt(encoded), cred: encoded, key }
  return { own, credential: decodeCredential(encoded), key }
}

/**
 * One session from message_1 to the receipt for a block, with fixed keys and every value in between
 * as hexadecimal: the same text every time. For somebody whose bytes differ and who wants to see where.
 */
export function transcript(): string {
  const lines = new Lines()
  const authority = nativeCrypto.signingKey(secret(SECRETS.authority))
  const meter = party(authority, METER, 'meter', SECRETS.meter)
  const fog = party(authority, FOG, 'fog', SECRETS.fog)
  writeKeys(lines, authority, meter, fog)
  const exporter = writeHandshake(lines, meter, fog)
  writeSession(lines, meter, exporter)
  return lines.toString()
}

function writeKeys(lines: Lines, authority: SigningKey, meter: Party, fog: Party): void {
  lines.heading('Keys and credentials')
  lines.value("authority's private key (Ed25519 seed)", secret(SECRETS.authority))
  lines.value("authority's public key", authority.publicKey)
  for (const [name, { key, credential }, first] of [
    ["meter's", meter, SECRETS.meter],
    ["fog node's", fog, SECRETS.fog],
  ] as const) {
    lines.value(`${name} private key (Ed25519 seed)`, secret(first))
    lines.value(`${name} public key`, key.publicKey)
    lines.value(`${name} credential (CWT, ID_CRED = {13: this}, CRED = this)`, credential.encoded)
  }
  lines.value('X, ephemeral private key of the meter', secret(SECRETS.x))
  lines.value('Y, ephemeral private key of the fog node', secret(SECRETS.y))
  lines.text(`channel id (MQTT client id)\n  ${CHANNEL_ID}`)
  lines.text(`meter publishes to\n  fm/1/${FOG}/up/${CHANNEL_ID}`)
  lines.text(`meter subscribes to\n  fm/1/${FOG}/dn/${CHANNEL_ID}`)
}

/** The meter's view of the handshake; the node's is the same. */
function writeHandshake(lines: Lines, meter: Party, fog: Party): Exporter {
  const shown = new Set<string>()
  const trace = (name: string, bytes: Uint8Array) => {
    const text = toHex(bytes)
    if (!shown.has(`${name} ${text}`)) lines.value(name, bytes)
    shown.add(`${name} ${text}`)
  }
  const suite = suite4(nativeCrypto)
  const common = { crypto: nativeCrypto, suite }
  const believe = ({ own, key }: Party): ResolvePeer => {
    const verifier = nativeCrypto.verifyKey(key.publicKey)
    return (idCred) => ({ cred: kcwtFrom(idCred) && own.cred, key: verifier })
  }
  lines.heading('message_1: meter to fog node')
  const first = startInitiator({
    ...common,
    own: meter.own,
    cI: Uint8Array.of(C_I),
    ephemeralSecret: secret(SECRETS.x),
    trace,
  })
  lines.value('frame up: f5, message_1', concat(Uint8Array.of(0xf5), first.message1))
  lines.heading('message_2: fog node to meter')
  const second = responderMessage1(
    { ...common, own: fog.own, cR: Uint8Array.of(C_R), ephemeralSecret: secret(SECRETS.y), trace },
    first.message1,
  )
  lines.value('frame down: C_I, message_2', handshakeFrame(C_I, second.message2))
  lines.heading('message_3: meter to fog node')
  const third = initiatorMessage2(first.state, second.message2, believe(fog))
  lines.value('frame up: C_R, message_3', handshakeFrame(C_R, third.message3))
  lines.heading('message_4: fog node to meter, and what is exported')
  const fourth = responderMessage3(second.state, third.message3, believe(meter))
  lines.value('frame down: C_I, message_4', handshakeFrame(C_I, fourth.message4))
  return initiatorMessage4(third.state, fourth.message4).exporter
}

function writeSession(lines: Lines, meter: Party, exporter: Exporter): void {
  const epoch = C_I & 3
  const keysOf = (direction: Direction): HalfKeys => {
    const context = utf8(CHANNEL_ID)
    const name = direction === 0 ? 'up' : 'down'
    lines.value(`key ${name}`, exporter(recordLabels.key[direction], context, 32))
    lines.value(`IV ${name}`, exporter(recordLabels.iv[direction], context, 12))
    const keys = halfKeys(nativeCrypto, exporter, { cid: CHANNEL_ID, direction, epoch })
    lines.value(`external_aad ${name}: [channel id, ${direction}, epoch]`, keys.externalAad)
    lines.value(`AAD ${name}`, encStructure(new Uint8Array(), keys.externalAad))
    return keys
  }
  lines.text(`epoch: the low two bits of C_I\n  ${epoch}`)
  const [up, down] = [keysOf(0), keysOf(1)]
  const say = recorder(lines, up, down)
  const [one, two] = readings as [Reading, Reading]

  lines.heading('hello: I hold from 1 on, my next number is 1')
  say('up', encodeUp({ type: 'hello', oldestHeld: 1, next: 1 }))
  lines.heading('welcome: durable up to 0')
  say('down', encodeDown({ type: 'welcome', durable: 0 }))
  lines.heading('reading 1, in full')
  say('up', encodeUp({ type: 'reading', reading: one }))
  lines.heading('reading 2, as differences')
  say('up', encodeUp({ type: 'live', values: encodeLive(one, two) }))
  const block = writeBlock(lines, meter)
  lines.heading('block: the signature over readings 1 and 2, which were sent live')
  const { first, last, skipped } = block.statement
  say('up', encodeUp({ type: 'block', first, last, skipped, signature: block.signature }))
  lines.heading('report: the same block with its readings, as it is sent again')
  const body = encodeBlock(block)
  say('up', encodeUp({ type: 'report', body }))
  lines.heading('receipt: durable up to 2')
  say('down', encodeDown({ type: 'receipt', durable: 2 }))
}

function writeBlock(lines: Lines, meter: Party) {
  lines.heading('The chain and the statement of block 1 to 2')
  let link = firstChain(nativeCrypto, METER)
  const previousChain = link
  lines.value(`chain before the first reading: SHA-256("fogmeter chain" ‖ "${METER}")`, link)
  for (const reading of readings) {
    lines.value(`reading ${reading.number}, canonical`, encodeReading(reading))
    link = chain(nativeCrypto, link, reading)
    lines.value(`chain after it: SHA-256(chain ‖ reading)`, link)
  }
  const block = buildBlock(nativeCrypto, meter.key, {
    deviceId: METER,
    previousChain,
    startImportWh: null,
    startExportWh: null,
    readings,
  })
  lines.value('statement', encodeStatement(block.statement))
  lines.value('Sig_structure: what is signed', statementToSign(block.statement))
  lines.value('signature', block.signature)
  return block
}

/** Seals one message after the other and writes down how. */
function recorder(lines: Lines, up: HalfKeys, down: HalfKeys) {
  const counters = { up: 0, down: 0 }
  return (way: 'up' | 'down', plaintext: Uint8Array): void => {
    const keys = way === 'up' ? up : down
    const counter = counters[way]
    counters[way] += 1
    const frame = sealRecord(keys, counter, plaintext)
    const head = encodeHead(keys.epoch, counter)
    lines.value('plaintext', plaintext)
    lines.text(`counter ${way}\n  ${counterOf(frame)}`)
    lines.value('nonce: IV xor counter', nonceOf(keys, counter))
    lines.value('header, Partial IV', head)
    lines.value('ciphertext, tag', frame.slice(head.length))
    lines.value(`frame ${way}`, frame)
  }
}

function nonceOf({ iv }: HalfKeys, counter: number): Uint8Array {
  const nonce = iv.slice()
  const last = nonce.length - 1
  nonce[last] = (nonce[last] ?? 0) ^ counter // one byte is enough for a transcript
  return nonce
}
