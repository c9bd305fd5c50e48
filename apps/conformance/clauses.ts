/** What is asked of a meter, in the order in which it is reported. */
export interface Clause {
  /** `group/name`; never changes its meaning. */
  readonly id: string
  /** What a meter must do, as one sentence. */
  readonly asks: string
  /** The document that says so; `design` is what the README of that library says. */
  readonly source: string
  /** Where to look when it fails. */
  readonly look: string
}

const FIRMWARE = 'libs/messages/FIRMWARE.md'
const BINDING = 'libs/broker/README.md'
const EDHOC = 'libs/edhoc/README.md'
const CHANNEL = 'libs/channel/README.md'
const RECORD = 'libs/record/README.md'
const READING = 'libs/reading/README.md'
const MESSAGES = 'libs/messages/README.md'
const CDDL = 'libs/messages/fogmeter.cddl'
const CREDENTIAL = 'libs/credential/README.md'

type Row = readonly [id: string, asks: string, source: string, look: string]

const rows: readonly Row[] = [
  [
    'mqtt/connect',
    'CONNECT is MQTT 3.1.1, with a clean session and without a will',
    'MQTT 3.1.1 §3.1.2; design: binding',
    BINDING,
  ],
  [
    'mqtt/client-id',
    'the client id is 8 base64url characters, new for every connection',
    'design: binding',
    BINDING,
  ],
  [
    'mqtt/keep-alive',
    'keep-alive is 1 to 1200 s, and the meter speaks that often',
    'MQTT 3.1.1 §3.1.2.10',
    BINDING,
  ],
  ['mqtt/subscribe', 'the only subscription is fm/1/NODE/dn/CLIENT-ID', 'design: binding', BINDING],
  ['mqtt/publish', 'every PUBLISH goes to fm/1/NODE/up/CLIENT-ID', 'design: binding', BINDING],
  ['mqtt/qos', 'QoS is 0 or 1', 'design: binding', BINDING],
  ['mqtt/no-retain', 'nothing is retained', 'design: binding', BINDING],
  ['mqtt/no-name', 'client id and user name do not tell the device', 'design: binding', BINDING],
  [
    'message-1/form',
    'f5, then message_1 as a sequence of deterministic CBOR: METHOD, SUITES_I, G_X, C_I',
    'RFC 9528 §3.4.1, §5.2.1; RFC 8949 §4.2.1',
    EDHOC,
  ],
  ['message-1/method', 'METHOD is 0: both sign', 'RFC 9528 §3.2', EDHOC],
  ['message-1/suite', 'the selected cipher suite is 4', 'RFC 9528 §3.6, §5.2.1', EDHOC],
  [
    'message-1/key',
    'G_X is an X25519 key of 32 bytes and not of low order',
    'RFC 9528 §9.2',
    EDHOC,
  ],
  ['message-1/fresh-key', 'G_X is new for every handshake', 'RFC 9528 §5.2.2, §9.2', EDHOC],
  [
    'message-1/identifier',
    'C_I is one byte from 20 to 37, its low two bits the number of the epoch',
    'RFC 9528 §3.3; design: frames',
    CHANNEL,
  ],
  [
    'message-3/form',
    'C_R, then message_3 as one byte string; it and PLAINTEXT_3 are deterministic CBOR',
    'RFC 9528 §5.4.1; RFC 8949 §4.2.1',
    EDHOC,
  ],
  [
    'message-3/encryption',
    'CIPHERTEXT_3 opens under K_3 and IV_3: key schedule and transcript hashes agree',
    'RFC 9528 §4, §5.4.2',
    `${FIRMWARE} (transcript)`,
  ],
  [
    'message-3/credential',
    'ID_CRED_I is {13: CWT}, a valid credential of a meter, by value',
    'RFC 9528 §3.5.3, §5.4; design: identity',
    CREDENTIAL,
  ],
  [
    'message-3/signature',
    'Signature_or_MAC_3 is that of the key in the credential',
    'RFC 9528 §5.4.2; RFC 9052 §4.4',
    `${FIRMWARE} (transcript)`,
  ],
  [
    'message-4/awaited',
    'without message_4, nothing but message_3 is sent',
    'RFC 9528 §5.5.1; design: handshake',
    EDHOC,
  ],
  [
    'retransmit/message-1',
    'without an answer the same message_1 comes again',
    'RFC 9528 §7; design: stored answers',
    CHANNEL,
  ],
  [
    'retransmit/message-3',
    'without an answer the same message_3 comes again',
    'RFC 9528 §7; design: stored answers',
    CHANNEL,
  ],
  [
    'retransmit/duplicates',
    'message_2 and message_4 that arrive twice do no harm',
    'RFC 9528 §3.4, §7',
    CHANNEL,
  ],
  [
    'record/form',
    'a record has its one form and opens: shortest counter, right key, nonce and AAD',
    'RFC 9052 §5.3; design: record',
    RECORD,
  ],
  [
    'record/counter',
    'the counter rises with every record; none is used twice under one key',
    'RFC 9052 §3.1; design: record',
    RECORD,
  ],
  [
    'record/rekey',
    'after 2^16 records in one direction a new handshake makes the next epoch',
    'design: record limits, epochs',
    CHANNEL,
  ],
  ['record/epoch', 'records after it carry that epoch', 'design: epochs', CHANNEL],
  ['hello/first', 'the first message of a session is hello', 'design: messages', MESSAGES],
  [
    'hello/numbers',
    'hello: oldest held <= next, and next lies above every number ever used',
    'design: messages',
    CDDL,
  ],
  ['hello/waits', 'nothing but hello is sent before the welcome', 'design: delivery', FIRMWARE],
  [
    'message/form',
    'every message is one deterministic CBOR array of a known type',
    'RFC 8949 §4.2.1; fogmeter.cddl',
    CDDL,
  ],
  [
    'reading/live',
    'a live reading is the canonical differences to one sent before in this session',
    'fogmeter.cddl: live',
    READING,
  ],
  [
    'reading/one-number',
    'a number means one reading for ever, live, signed and sent again',
    'design: readings',
    READING,
  ],
  [
    'reading/registers',
    'registers never fall unless the status says reset or replaced',
    'design: readings',
    READING,
  ],
  ['block/form', 'a signed block decodes to 1 to 64 readings', 'fogmeter.cddl: report', READING],
  [
    'block/numbers',
    'each number is in exactly one block, as a reading or declared as skipped',
    'design: blocks',
    READING,
  ],
  ['block/chain', 'each block goes on from the hash chain before it', 'design: chain', READING],
  [
    'block/registers',
    'start registers are the end registers of the block before',
    'fogmeter.cddl: statement',
    READING,
  ],
  [
    'block/signature',
    "the signature is the meter's over the statement",
    'RFC 9052 §4.4; fogmeter.cddl: register',
    READING,
  ],
  [
    'size/live',
    'the PUBLISH of a live reading has at most 64 bytes (for a node name of 5)',
    'design: performance',
    READING,
  ],
  ['size/frame', 'no PUBLISH has more than 4096 bytes', 'design: broker limits', BINDING],
  [
    'receipts/forgets',
    'what a receipt or welcome covers is not sent again',
    'design: receipts',
    MESSAGES,
  ],
  [
    'receipts/resends',
    'what no receipt covers is sent again in the next session',
    'design: receipts',
    MESSAGES,
  ],
  [
    'receipts/same-bytes',
    'a block sent again says the same, under the same signature',
    'design: receipts',
    READING,
  ],
  ['resend/again', 'after resend N the blocks from N on come again', 'design: messages', MESSAGES],
  ['refused/goes-on', 'after refused the next blocks are sent', 'design: messages', MESSAGES],
  ['refused/never-again', 'a refused block is never sent again', 'design: receipts', MESSAGES],
  [
    'session/unknown',
    'after f6 (unknown session) a new handshake on the same channel, then hello',
    'design: channel',
    CHANNEL,
  ],
  [
    'session/recovers',
    'after all attacks the genuine node is taken again',
    'design: channel',
    CHANNEL,
  ],
  [
    'attack/flipped-bit',
    'a record from the node with a flipped bit changes nothing',
    'RFC 9052 §5.3; design: record',
    RECORD,
  ],
  [
    'attack/replay',
    'a record from the node that arrives again changes nothing',
    'design: record, replay window',
    RECORD,
  ],
  [
    'attack/future-receipt',
    'a receipt for numbers never sent is ignored',
    'design: receipts',
    MESSAGES,
  ],
  [
    'attack/message-4-wrong',
    'after a message_4 that does not verify, nothing is sent',
    'RFC 9528 §5.5.3',
    EDHOC,
  ],
  [
    'attack/wrong-key',
    'message_2 signed by another key than its credential names: no message_3',
    'RFC 9528 §5.3.3',
    EDHOC,
  ],
  [
    'attack/untrusted',
    'message_2 with a credential of another authority: no message_3',
    'RFC 9528 §5.3.3; design: identity',
    CREDENTIAL,
  ],
  [
    'attack/wrong-role',
    'message_2 with the credential of a meter: no message_3',
    'design: identity',
    CREDENTIAL,
  ],
  [
    'attack/wrong-name',
    'message_2 with the credential of another node: no message_3',
    'design: identity',
    CHANNEL,
  ],
  [
    'attack/expired',
    'message_2 with a credential that ended a year ago: no message_3 where the time is known',
    'RFC 8392 §3.1.4; design: identity',
    CREDENTIAL,
  ],
  [
    'attack/revoked',
    'message_2 with a credential on the revocation list it was sent: no message_3',
    'design: identity',
    CREDENTIAL,
  ],
]

export const clauses: readonly Clause[] = rows.map(([id, asks, source, look]) => ({
  id,
  asks,
  source,
  look,
}))

/** The part of an id before its slash. */
export function groupOf(id: string): string {
  return id.slice(0, id.indexOf('/'))
}

export const groups: readonly string[] = [...new Set(clauses.map(({ id }) => groupOf(id)))]
