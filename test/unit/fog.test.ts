import { describe, expect, test } from 'vitest'
import { checkRevocations, decodeCredential, issueRevocations } from '#credential'
import { nodeCrypto } from '#crypto-node'
import { inlineVerifier, type Verifier } from '#fog'
import type { Item, Up } from '#messages'
import {
  buildBlock,
  encodeBlock,
  encodeLive,
  firstChain,
  status,
  peekRegister,
  verifyRegister,
} from '#reading'
import {
  authority,
  fogBench,
  liveMessages,
  manualVerifier,
  meterCredential,
  report,
  settled,
  simulatedMeter,
  startS,
} from '../support/fog.ts'

const cid = 'aaaaaaaa'
const itemsOf = <T extends Item['type']>(items: Item[], type: T) =>
  items.filter((item): item is Extract<Item, { type: T }> => item.type === type)
const eventCodes = (items: Item[]) => itemsOf(items, 'event').map(({ event }) => event.code)

async function greeted(options?: Parameters<typeof fogBench>[0]) {
  const bench = fogBench(options)
  const meter = simulatedMeter('meter-1')
  bench.hello(cid, meter)
  await settled()
  expect(bench.take(cid)).toEqual([{ type: 'welcome', durable: 0 }])
  return { bench, meter }
}

const unreadable: Up = { type: 'report', body: Uint8Array.of(0x84, 1, 2, 3, 4) }
const refusedAs = (number: number, code: string) => {
  return { type: 'refused', first: number, last: number, code }
}

describe('receipts', () => {
  test('come after the commit, one for all blocks of a meter, never before', async () => {
    const { bench, meter } = await greeted()
    bench.up(cid, report(meter.block(4)), report(meter.block(3, 2)))
    await settled()
    bench.fog.tick()
    expect([bench.take(cid), bench.disk.groups]).toEqual([[], []])
    await bench.commit()
    expect(bench.take(cid)).toEqual([{ type: 'receipt', durable: 9 }])
    expect(bench.fog.counters()).toMatchObject({ blocks: 2, readings: 7, commits: 1, verified: 2 })
  })

  test('name what is durable, not what has arrived and is still being checked', async () => {
    const checks = manualVerifier()
    const { bench, meter } = await greeted({ verifier: checks.verifier })
    bench.up(cid, report(meter.block(4)), report(meter.block(3)))
    await checks.release()
    await bench.commit()
    expect(bench.take(cid)).toEqual([{ type: 'receipt', durable: 4 }])
    await checks.release()
    await bench.commit()
    expect(bench.take(cid)).toEqual([{ type: 'receipt', durable: 7 }])
  })

  test('do not come when the disk fails; when it works again the same blocks are committed', async () => {
    let failing = true
    const { bench, meter } = await greeted({ failing: () => failing })
    bench.up(cid, report(meter.block(4)))
    await settled()
    bench.clock.advance(1000)
    expect(() => bench.fog.tick()).toThrow('disk full')
    expect(bench.take(cid)).toEqual([])
    failing = false
    bench.fog.tick()
    expect(bench.take(cid)).toEqual([{ type: 'receipt', durable: 4 }])
  })

  test('a repetition gets the same receipt and is counted once', async () => {
    const { bench, meter } = await greeted()
    const block = meter.block(4)
    bench.up(cid, report(block), report(block))
    await bench.commit()
    bench.up(cid, report(block))
    await bench.commit()
    expect(bench.take(cid)).toEqual([
      { type: 'receipt', durable: 4 },
      { type: 'receipt', durable: 4 },
    ])
    expect(bench.fog.counters()).toMatchObject({ readings: 4, repeats: 2 })
  })

  test('for many blocks a second come together', async () => {
    const { bench, meter } = await greeted({ settings: { receiptMs: 1_000 } })
    for (let i = 0; i < 4; i++) {
      bench.up(cid, report(meter.block(2)))
      await bench.commit()
    }
    expect(bench.take(cid)).toEqual([{ type: 'receipt', durable: 2 }])
    bench.clock.advance(1_000)
    bench.fog.tick()
    bench.fog.tick()
    expect(bench.take(cid)).toEqual([{ type: 'receipt', durable: 8 }])
    bench.up(cid, report(meter.block(1)))
    await settled()
    bench.fog.flush()
    expect(bench.take(cid)).toEqual([{ type: 'receipt', durable: 9 }])
  })

  test('what is too old to be compared is receipted as well', async () => {
    const { bench, meter } = await greeted()
    const first = meter.block(1)
    bench.up(cid, report(first))
    for (let i = 0; i < 70; i++) {
      bench.up(cid, report(meter.block(1)))
      await bench.commit()
    }
    bench.take(cid)
    bench.up(cid, report(first))
    await bench.commit()
    expect(bench.take(cid)).toEqual([{ type: 'receipt', durable: 71 }])
  })
})

describe('live readings', () => {
  test('need no block body: their signature alone makes them durable', async () => {
    const { bench, meter } = await greeted()
    bench.up(cid, ...liveMessages(meter.block(5)), ...liveMessages(meter.block(3, 4)))
    expect(bench.fog.meters()[0]).toMatchObject({ durable: 0, latest: { number: 12 } })
    await bench.commit()
    expect(bench.take(cid)).toEqual([{ type: 'receipt', durable: 12 }])
    expect(bench.fog.counters()).toMatchObject({ live: 8, readings: 8 })
  })

  test('with one missing, the block is asked for and then taken as a report', async () => {
    const { bench, meter } = await greeted()
    const block = meter.block(5)
    const messages = liveMessages(block)
    bench.up(cid, ...messages.filter((_, index) => index !== 2))
    await bench.commit()
    expect(bench.take(cid)).toEqual([{ type: 'resend', from: 1 }])
    bench.up(cid, report(block))
    await bench.commit()
    expect(bench.take(cid)).toEqual([{ type: 'receipt', durable: 5 }])
  })

  test('a signature that does not fit our picture of them asks for the report, and refuses nothing', async () => {
    const { bench, meter } = await greeted()
    const block = meter.block(5)
    const signature = Uint8Array.from(
      block.signature,
      (byte, index) => byte ^ (index === 3 ? 1 : 0),
    )
    bench.up(cid, ...liveMessages({ ...block, signature }))
    await bench.commit()
    expect(bench.take(cid)).toEqual([{ type: 'resend', from: 1 }])
    bench.up(cid, report(block))
    await bench.commit()
    expect(bench.take(cid)).toEqual([{ type: 'receipt', durable: 5 }])
  })

  test('put together wrong and not judged yet contradict no report of what was meant', async () => {
    const { verifier, releaseAll } = manualVerifier()
    const { bench, meter } = await greeted({ verifier })
    const block = meter.block(3)
    const [first, , ...rest] = liveMessages(block)
    const wrong = encodeLive(block.readings[0]!, { ...block.readings[1]!, powerW: 1 })
    bench.up(cid, first!, { type: 'live', values: wrong }, ...rest, report(block))
    await releaseAll()
    expect(bench.take(cid)).toEqual([{ type: 'resend', from: 1 }])
    expect(bench.fog.counters().refused).toEqual({ undecided: 1, 'bad-signature': 1 })
    bench.up(cid, report(block))
    await releaseAll()
    await bench.commit()
    expect(bench.take(cid)).toEqual([{ type: 'receipt', durable: 3 }])
  })

  test('without a known base, the meter is asked once to start over', async () => {
    const { bench, meter } = await greeted()
    const [, ...rest] = liveMessages(meter.block(5)).slice(0, -1)
    bench.up(cid, ...rest)
    expect(bench.take(cid)).toEqual([{ type: 'resend', from: 1 }])
    expect(bench.fog.counters().refused).toEqual({ 'no-base': 4 })
  })

  test('of an ended session do not mix with those of the next', async () => {
    const { bench, meter } = await greeted()
    const messages = liveMessages(meter.block(4))
    bench.up(cid, ...messages.slice(0, 2))
    bench.fog.closed(cid)
    bench.hello('bbbbbbbb', meter)
    bench.take('bbbbbbbb')
    bench.up('bbbbbbbb', ...messages.slice(2))
    await bench.commit()
    expect(bench.fog.counters().readings).toBe(0)
    expect(bench.take('bbbbbbbb')[0]).toEqual({ type: 'resend', from: 1 })
  })
})

/** A block body in which a time of eight bytes reads otherwise. */
function withTime(body: Uint8Array, fromS: number, toS: number): Uint8Array {
  const [from, to] = [fromS, toS].map((timeS) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64BE(BigInt(timeS))
    return bytes
  })
  const changed = Buffer.from(body)
  changed.set(to!, changed.indexOf(from!))
  return Uint8Array.from(changed)
}

describe('refusals', () => {
  test('a bad signature is refused for good, later blocks are asked for and taken', async () => {
    const { bench, meter } = await greeted()
    const good = meter.block(2)
    const bad = meter.block(2)
    const later = meter.block(2)
    bad.signature = later.signature
    bench.up(cid, report(good), report(bad), report(later))
    await bench.commit()
    expect(bench.take(cid)).toEqual([
      { type: 'refused', first: 3, last: 4, code: 'bad-signature' },
      { type: 'resend', from: 5 },
      { type: 'receipt', durable: 2 },
    ])
    bench.up(cid, report(later))
    await bench.commit()
    expect(bench.take(cid)).toEqual([{ type: 'receipt', durable: 6 }])
    bench.fog.close()
    expect(eventCodes(bench.items())).toEqual(['bad-signature', 'gap'])
  })

  test('it is the signature check that keeps a forged block out', async () => {
    const everything: Verifier = { verify: () => Promise.resolve(true) }
    for (const [verifier, readings] of [
      [inlineVerifier(nodeCrypto), 0],
      [everything, 3],
    ] as const) {
      const { bench } = await greeted({ verifier })
      const forged = buildBlock(nodeCrypto, nodeCrypto.signingKey(new Uint8Array(32).fill(77)), {
        deviceId: 'meter-1',
        previousChain: firstChain(nodeCrypto, 'meter-1'),
        startImportWh: null,
        startExportWh: null,
        readings: [1, 2, 3].map((number) => simulatedMeter('meter-1').reading({ number })),
      })
      bench.up(cid, report(forged))
      await bench.commit()
      expect(bench.fog.counters().readings).toBe(readings)
    }
  })

  test('other content under durable numbers is a conflict, and only the meter can cause one', async () => {
    const { bench, meter } = await greeted()
    bench.up(cid, report(meter.block(4)))
    await bench.commit()
    bench.take(cid)
    const clone = simulatedMeter('meter-1')
    const other = clone.block(4, 0, { powerW: 9_999 })
    bench.up(cid, report(other))
    await bench.commit()
    expect(bench.take(cid)).toEqual([{ type: 'refused', first: 1, last: 4, code: 'conflict' }])
    other.signature = new Uint8Array(64)
    bench.up(cid, report(other))
    await bench.commit()
    expect(bench.take(cid)[0]).toMatchObject({ type: 'refused', code: 'bad-signature' })
    expect(bench.fog.counters().readings).toBe(4)
    expect(eventCodes(bench.items())).toEqual(['conflict', 'bad-signature'])
    bench.up(cid, report(meter.block(2)))
    await bench.commit()
    expect(bench.take(cid)).toEqual([{ type: 'receipt', durable: 6 }])
  })

  test('start registers that contradict the block before are refused', async () => {
    const { bench, meter } = await greeted()
    bench.up(cid, report(meter.block(2)))
    const readings = [meter.reading(), meter.reading()]
    const lie = buildBlock(nodeCrypto, meter.key, {
      deviceId: meter.name,
      previousChain: meter.state.chain,
      startImportWh: 1,
      startExportWh: 1,
      readings,
    })
    bench.up(cid, report(lie))
    await bench.commit()
    expect(bench.take(cid)).toContainEqual({
      type: 'refused',
      first: 3,
      last: 4,
      code: 'start-registers',
    })
    expect(bench.fog.counters().readings).toBe(2)
  })

  test('an unreadable report is refused and does not block what follows', async () => {
    const { bench, meter } = await greeted()
    meter.block(3)
    const next = meter.block(2)
    const again = { type: 'resend', from: 1 }
    for (const answer of [again, again, refusedAs(1, 'reading/malformed')]) {
      bench.up(cid, unreadable)
      expect(bench.take(cid)).toEqual([answer])
    }
    bench.hello(cid, meter, 4)
    bench.up(cid, report(next))
    await bench.commit()
    expect(bench.take(cid)).toEqual([
      { type: 'welcome', durable: 3 },
      { type: 'receipt', durable: 5 },
    ])
  })

  test('blocks lost on the way are not given up for an unreadable one before or behind them', async () => {
    const { bench, meter } = await greeted()
    const [first, , third, fourth] = [3, 2, 4, 1].map((count) => meter.block(count))
    bench.up(cid, unreadable, report(third!))
    await bench.commit()
    expect(bench.take(cid)).not.toContainEqual(expect.objectContaining({ type: 'receipt' }))
    bench.up(cid, report(first!), unreadable, unreadable, unreadable, report(fourth!))
    await bench.commit()
    const answers = bench.take(cid)
    expect(answers).toContainEqual(refusedAs(4, 'reading/malformed'))
    expect(answers).toContainEqual({ type: 'receipt', durable: 3 })
    bench.hello(cid, meter, 6)
    bench.up(cid, report(fourth!), report(third!), report(fourth!))
    await bench.commit()
    expect(bench.take(cid)).toContainEqual({ type: 'receipt', durable: 10 })
    expect(bench.fog.counters().readings).toBe(8)
  })

  test('the cloud hears of them by reason: soon of those that last, else with the usual status', async () => {
    const { bench, meter } = await greeted({ settings: { statusMs: 100_000, checkpointMs: 1e9 } })
    const statuses = () => itemsOf(bench.items(), 'fogStatus').map(({ status: s }) => s.refused)
    const wait = (ms: number) => {
      bench.clock.advance(ms)
      bench.fog.tick()
    }
    bench.up(cid, report(meter.block(2)))
    meter.block(2)
    bench.up(cid, report(meter.block(2)))
    await bench.commit()
    wait(50_000)
    expect([bench.fog.counters().refused, statuses()]).toEqual([{ early: 1 }, []])

    const other = simulatedMeter('meter-1').block(2, 0, { powerW: 9_999 })
    bench.up(cid, report(other), report({ ...other, signature: new Uint8Array(64) }))
    await bench.commit()
    const refused = { 'bad-signature': 1, conflict: 1, early: 1 }
    expect(statuses()).toEqual([refused])
    bench.up(cid, report(other))
    await bench.commit()
    expect(statuses()).toHaveLength(1)
    wait(10_000)
    expect(statuses()).toEqual([refused, { ...refused, conflict: 2 }])
    wait(10_000)
    expect(statuses()).toHaveLength(2)
    wait(90_000)
    expect(statuses()).toHaveLength(3)
  })

  test('a time whose window would end beyond dates is refused like any time out of range', async () => {
    const { bench, meter } = await greeted()
    const latest = Date.parse('9999-12-30T23:59:59Z') / 1000
    const body = encodeBlock(meter.block(1, 0, { timeS: latest }))
    const beyond: Up = { type: 'report', body: withTime(body, latest, latest + 1) }
    bench.up(cid, beyond, beyond, beyond)
    await bench.commit()
    expect(bench.take(cid).at(-1)).toEqual(refusedAs(1, 'reading/bad-value'))
    bench.up(cid, { type: 'report', body })
    await bench.commit()
    expect(bench.take(cid)).toEqual([{ type: 'receipt', durable: 1 }])
    bench.clock.advance(200_000)
    bench.fog.tick()
    expect(itemsOf(bench.items(), 'summary')).toHaveLength(1)
  })

  test('nonsense is counted and changes nothing', async () => {
    const { bench } = await greeted()
    for (const bytes of [[], [0xff], [0x80], [0x81, 99], [0x83, 1, 2, 3]]) {
      void bench.fog.receive(cid, Uint8Array.from(bytes))
    }
    void bench.fog.receive('nobody', Uint8Array.of(1))
    bench.up(cid, {
      type: 'items',
      first: 1,
      items: [{ type: 'credential', cwt: new Uint8Array(1) }],
    })
    await bench.commit()
    const refused = Object.values(bench.fog.counters().refused).reduce((sum, n) => sum + n, 0)
    expect(refused).toBeGreaterThanOrEqual(7)
    expect(bench.disk.groups).toEqual([])
  })
})

describe('order', () => {
  test('checks that finish in another order commit in the order of the meter', async () => {
    const { verifier, release, waiting } = manualVerifier()
    const { bench, meter } = await greeted({ verifier })
    for (let i = 0; i < 3; i++) bench.up(cid, report(meter.block(2)))
    expect(waiting).toHaveLength(3)
    await release(2)
    await release(1)
    await bench.commit()
    expect(bench.fog.counters().blocks).toBe(0)
    await release(0)
    await bench.commit()
    expect(bench.take(cid)).toEqual([{ type: 'receipt', durable: 6 }])
  })

  test('a block before its predecessor is asked for again', async () => {
    const { bench, meter } = await greeted()
    const [first, second] = [meter.block(2), meter.block(2)]
    bench.up(cid, report(second), report(first), report(second))
    await bench.commit()
    expect(bench.take(cid)).toEqual([
      { type: 'resend', from: 1 },
      { type: 'receipt', durable: 4 },
    ])
  })

  test('what the meter gave up is an event, and its energy is nobody’s', async () => {
    const { bench, meter } = await greeted()
    bench.up(cid, report(meter.block(2)))
    meter.block(5, 0, { importWh: 50_000 })
    const after = meter.block(2)
    bench.hello(cid, meter, 8)
    bench.up(cid, report(after))
    await bench.commit()
    expect(bench.take(cid)).toEqual([
      { type: 'welcome', durable: 7 },
      { type: 'receipt', durable: 9 },
    ])
    bench.clock.advance(200_000)
    bench.fog.tick()
    expect(itemsOf(bench.items(), 'event')[0]?.event).toMatchObject({
      code: 'gap',
      deviceId: 'meter-1',
    })
    const imported = itemsOf(bench.items(), 'summary').reduce(
      (sum, s) => sum + s.summary.importWh,
      0,
    )
    const [a, b] = after.readings
    expect(imported).toBe(2 + (a!.importWh - 50_000) + (b!.importWh - a!.importWh))
  })

  test('a statement whose readings were given up counts as a register, not as energy of the next interval', async () => {
    const { bench, meter } = await greeted()
    const before = meter.block(2)
    const lost = meter.block(3, 1, { importWh: 40_000 })
    const after = meter.block(2)
    const thinned = { ...lost, readings: [] }
    bench.up(cid, report(before), report(thinned), report(after))
    await bench.commit()
    bench.up(cid, report(thinned), report(lost))
    await bench.commit()
    expect(bench.take(cid)).toEqual([
      { type: 'receipt', durable: 8 },
      { type: 'receipt', durable: 8 },
    ])
    expect(bench.fog.counters()).toMatchObject({
      blocks: 3,
      readings: 4,
      readingsGivenUp: 3,
      repeats: 2,
      refused: {},
    })
    bench.clock.advance(200_000)
    bench.fog.tick()
    expect(itemsOf(bench.items(), 'event').map(({ event }) => event)).toMatchObject([
      { code: 'readings-given-up', detail: expect.stringContaining('readings 3 to 6') as string },
    ])
    const summaries = itemsOf(bench.items(), 'summary').map(({ summary }) => summary)
    expect(summaries.reduce((sum, { readings }) => sum + readings, 0)).toBe(4)
    const [first, second] = before.readings
    const imported = summaries.reduce((sum, { importWh }) => sum + importWh, 0)
    const rise = after.readings.at(-1)!.importWh - 40_000
    expect(imported).toBe(second!.importWh - first!.importWh + rise)
    const register = itemsOf(bench.items(), 'register').at(-1)
    expect(verifyRegister(nodeCrypto.verifyKey(meter.key.publicKey), register!.envelope)).toEqual(
      after.statement,
    )
  })

  test('a restart replays such a statement; one with a bad signature is refused', async () => {
    const { bench, meter } = await greeted()
    const thinned = { ...meter.block(3), readings: [] }
    bench.up(cid, report(thinned))
    await bench.commit()
    const again = fogBench({ disk: bench.disk })
    again.hello(cid, meter)
    expect(again.take(cid)).toEqual([{ type: 'welcome', durable: 3 }])
    const forged = { ...meter.block(2), readings: [], signature: new Uint8Array(64) }
    again.up(cid, report(forged))
    await settled()
    expect(again.take(cid)).toEqual([{ type: 'refused', first: 4, last: 5, code: 'bad-signature' }])
  })

  test('a meter restored from a backup goes on after the numbers it had used', async () => {
    const { bench, meter } = await greeted()
    const backup = { ...meter.state }
    bench.up(cid, report(meter.block(4)))
    await bench.commit()
    Object.assign(meter.state, { ...backup, number: 5, blocks: [] })
    bench.up(cid, report(meter.block(2, 0, { importWh: 1_100, exportWh: 1_100 })))
    await bench.commit()
    expect(bench.take(cid).at(-1)).toEqual({ type: 'receipt', durable: 6 })
    bench.fog.close()
    expect(eventCodes(bench.items())).toEqual(['chain-break'])
  })
})

describe('sessions', () => {
  test('the newest channel of a device wins', async () => {
    const { bench, meter } = await greeted()
    bench.hello('bbbbbbbb', meter)
    expect(bench.dropped).toEqual([{ cid, code: 'superseded' }])
    expect(bench.take(cid)).toEqual([{ type: 'ended', code: 'superseded' }])
    bench.up(cid, report(meter.block(2)))
    await bench.commit()
    expect(bench.fog.counters().refused).toEqual({ 'no-session': 1 })
  })

  test('revocation ends the session and takes back what is not durable', async () => {
    const { verifier, releaseAll } = manualVerifier()
    const { bench, meter } = await greeted({ verifier })
    bench.up(cid, report(meter.block(2)))
    const ids = [meter.credential.id]
    const signed = issueRevocations({ authority, number: 1, issuedS: startS, ids })
    bench.fog.revoke(checkRevocations(nodeCrypto, authority.publicKey, signed))
    await releaseAll()
    await bench.commit()
    expect(bench.dropped).toEqual([{ cid, code: 'credential/revoked' }])
    expect([bench.disk.groups, bench.fog.inFlight()]).toEqual([[], 0])
    expect(eventCodes(bench.items())).toEqual(['revoked'])
  })

  test('a revocation list reaches each session once per version, and those that open later', async () => {
    const bench = fogBench()
    const meters = Array.from({ length: 150 }, (_, i) => simulatedMeter(`meter-${i}`, i + 1))
    const tell = (number: number) => {
      const signed = issueRevocations({ authority, number, issuedS: startS, ids: [] })
      const list = checkRevocations(nodeCrypto, authority.publicKey, signed)
      bench.fog.revoke(list)
      return { type: 'revocations', list: list.encoded } as const
    }
    const heard = (channel: string) => bench.take(channel).filter(({ type }) => type !== 'welcome')
    meters.forEach((meter, i) => bench.hello(`channel-${i}`, meter))
    bench.fog.tick()
    expect(meters.flatMap((_, i) => heard(`channel-${i}`))).toEqual([])
    const first = tell(1)
    bench.fog.tick()
    expect(bench.sent, 'some at a time').toHaveLength(64)
    for (let n = 0; n < 5; n++) bench.fog.tick()
    expect(meters.flatMap((_, i) => heard(`channel-${i}`))).toEqual(meters.map(() => first))
    bench.hello('channel-0', meters[0]!)
    tell(1)
    bench.fog.tick()
    expect(heard('channel-0')).toEqual([])
    bench.hello('another', meters[0]!)
    bench.fog.tick()
    expect(heard('another')).toEqual([first])
    const second = tell(2)
    bench.fog.closed('channel-1')
    for (let n = 0; n < 5; n++) bench.fog.tick()
    expect([heard('another'), heard('channel-2')]).toEqual([[second], [second]])
    expect(bench.fog.counters().listsSent).toBe(150 + 1 + 149)
    await settled()
  })

  test('a list of the largest size goes to one or two sessions at a time', () => {
    const bench = fogBench()
    const meters = [1, 2, 3, 4, 5].map((id) => simulatedMeter(`meter-${id}`, id))
    meters.forEach((meter, i) => bench.hello(`channel-${i}`, meter))
    const ids = Array.from({ length: 6_000 }, (_, i) => Uint8Array.of(1, 1, 1, 1, 1, 1, i >> 8, i))
    const signed = issueRevocations({ authority, number: 1, issuedS: startS, ids })
    bench.sent.length = 0
    bench.fog.revoke(checkRevocations(nodeCrypto, authority.publicKey, signed))
    bench.fog.tick()
    expect(bench.sent).toHaveLength(2)
  })

  test('a new credential reaches the cloud before what is signed under it', async () => {
    const { bench, meter } = await greeted()
    bench.up(cid, report(meter.block(2)))
    await bench.commit()
    const renewed = { ...meter, credential: meterCredential('meter-1', 2, 1) }
    bench.hello(cid, renewed)
    bench.up(cid, report(meter.block(2)))
    await bench.commit()
    bench.clock.advance(200_000)
    bench.fog.tick()
    const order = bench.items().filter(({ type }) => type === 'credential' || type === 'register')
    expect(order.map((item) => item.type)).toEqual([
      'credential',
      'register',
      'credential',
      'register',
    ])
    const cwts = itemsOf(order, 'credential').map(({ cwt }) => decodeCredential(cwt).id[0])
    expect(cwts).toEqual([1, 2])
  })

  test('a full house holds the link back, but not for ever', async () => {
    const { verifier, releaseAll } = manualVerifier()
    const { bench, meter } = await greeted({ verifier, settings: { maxInFlight: 2, holdMs: 500 } })
    const [one, two, three, four, five] = [1, 2, 3, 4, 5].map(() => report(meter.block(1)))
    const { encodeUp } = await import('#messages')
    expect(bench.fog.receive(cid, encodeUp(one!))).toBeUndefined()
    const held = bench.fog.receive(cid, encodeUp(two!))
    let released = false
    void held?.then(() => (released = true))
    bench.fog.tick()
    await settled()
    expect(released).toBe(false)
    bench.clock.advance(500)
    bench.fog.tick()
    await settled()
    expect(released).toBe(true)
    bench.up(cid, three!, four!, five!)
    expect([bench.fog.inFlight(), bench.fog.counters().refused]).toEqual([4, { overload: 1 }])
    await releaseAll()
    await bench.commit()
    expect(bench.take(cid)).toEqual([{ type: 'receipt', durable: 4 }])
  })
})

describe('windows and outbox', () => {
  test('a closed window puts its summary and the registers under it into the outbox', async () => {
    const { bench, meter } = await greeted()
    const blocks = [meter.block(6), meter.block(6), meter.block(3)]
    bench.up(cid, ...blocks.map(report))
    await bench.commit()
    bench.clock.advance(1_000)
    bench.fog.tick()
    const items = bench.items()
    const summaries = itemsOf(items, 'summary').map(({ summary }) => summary)
    expect(summaries.map(({ readings }) => readings)).toEqual([6, 6])
    expect(summaries[0]).toMatchObject({ startS, endS: startS + 60, meters: 1, revision: 0 })
    const [credential] = itemsOf(items, 'credential')
    const [register] = itemsOf(items, 'register')
    const key = nodeCrypto.verifyKey(decodeCredential(credential!.cwt).publicKey)
    expect(verifyRegister(key, register!.envelope)).toEqual(blocks[1]!.statement)
  })

  test('a block across the end of a window: the cloud hears that its first readings are counted, before they are', async () => {
    const { bench, meter } = await greeted()
    const [, across] = [meter.block(4), meter.block(4), meter.block(7)]
    bench.up(cid, ...meter.state.blocks.map(report))
    await bench.commit()
    bench.clock.advance(1_000)
    bench.fog.tick()
    const items = bench.items()
    expect(across.readings.map(({ timeS }) => timeS <= startS + 60)).toContain(true)
    expect(across.readings.map(({ timeS }) => timeS <= startS + 60)).toContain(false)
    const counted = items.findIndex(({ type }) => type === 'register')
    const summary = items.findIndex(({ type }) => type === 'summary')
    expect(counted).toBeGreaterThanOrEqual(0)
    expect(counted).toBeLessThan(summary)
    const lasts = itemsOf(items, 'register').map(({ envelope }) => peekRegister(envelope).last)
    const inWindows = itemsOf(items, 'summary').reduce((n, { summary: s }) => n + s.readings, 0)
    expect(Math.max(...lasts)).toBeGreaterThanOrEqual(inWindows)
  })

  test('when meters have gone quiet, everything is closed and the newest register goes out', async () => {
    const { bench, meter } = await greeted()
    const block = meter.block(3)
    bench.up(cid, report(block))
    await bench.commit()
    bench.clock.advance(180_000)
    bench.fog.tick()
    const items = bench.items()
    expect(itemsOf(items, 'summary')).toHaveLength(1)
    expect(itemsOf(items, 'register')).toHaveLength(1)
    bench.clock.advance(180_000)
    bench.fog.tick()
    expect(bench.items()).toHaveLength(items.length)
  })

  test('a late reading makes a revision with full totals', async () => {
    const { bench, meter } = await greeted()
    const late = simulatedMeter('meter-2', 2)
    bench.up(cid, report(meter.block(7)))
    await bench.commit()
    bench.clock.advance(1_000)
    bench.fog.tick()
    bench.hello('bbbbbbbb', late)
    bench.up('bbbbbbbb', report(late.block(2)))
    await bench.commit()
    bench.clock.advance(60_000)
    bench.fog.tick()
    const [first, second] = itemsOf(bench.items(), 'summary').map(({ summary }) => summary)
    expect([first?.readings, first?.revision]).toEqual([6, 0])
    expect([second?.readings, second?.revision, second?.meters]).toEqual([8, 1, 2])
    expect(second?.startS).toBe(first?.startS)
  })

  test('registers are not held back where summaries are', async () => {
    const window = { seconds: 60, graceSeconds: 0, idleSeconds: 180, minMeters: 5 }
    const rest = {
      revisionDelayMs: 0,
      activeSeconds: 900,
      maxMergeSeconds: 86_400,
      maxWindows: 100,
    }
    const { bench, meter } = await greeted({ settings: { window: { ...window, ...rest } } })
    bench.up(cid, report(meter.block(3)))
    await bench.commit()
    bench.clock.advance(180_000)
    bench.fog.tick()
    expect(itemsOf(bench.items(), 'summary')).toEqual([])
    expect(itemsOf(bench.items(), 'register')).toHaveLength(1)
  })

  test('a register that shows 0 for a moment is an event, never energy', async () => {
    const { bench, meter } = await greeted()
    const before = meter.block(2)
    const endWh = before.statement.endImportWh
    const zero = meter.block(1, 0, { importWh: 0 })
    const back = meter.block(1, 0, { importWh: endWh + 5, status: status.substitute })
    bench.up(cid, ...[before, zero, back].map(report))
    await bench.commit()
    bench.clock.advance(180_000)
    bench.fog.tick()
    const [summary] = itemsOf(bench.items(), 'summary')
    const first = before.readings[0]!.importWh
    expect(summary?.summary.importWh).toBe(endWh - first + 5)
    expect(eventCodes(bench.items())).toEqual(['register-zero'])
  })
})
