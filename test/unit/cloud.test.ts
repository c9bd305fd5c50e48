import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { encode } from '#cbor'
import { createMemoryStore, registerFlags } from '#cloud'
import type { CloudStore } from '#cloud'
import { decodeSign1 } from '#cose'
import { nodeCrypto } from '#crypto-node'
import { CodedError } from '#errors'
import { encodeDown, encodeItem, encodeItems, encodeUp } from '#messages'
import type { Item, Summary } from '#messages'
import { encodeStatement, readingLimits, signStatement, status, timeQuality } from '#reading'
import { windowEnd } from '#window'
import {
  credentialItem,
  device,
  fogStatus,
  gapItem,
  hello,
  items,
  register,
  revocationList,
  sent,
  startS,
  statement,
  summaryItem,
  testCloud,
} from '../support/cloud.ts'

const fog = device('fog', 'fog-1')
const meter = device('meter', 'kitchen')
const foreignAuthority = nodeCrypto.signingKey(new Uint8Array(32).fill(9))

function begin() {
  const store = createMemoryStore()
  const cloud = testCloud(store)
  cloud.connect(fog, 'c1')
  const deliver = (first: number, ...list: Item[]) =>
    sent(cloud.deliver(fog, 'c1', items(first, list)))
  return { ...cloud, contents: store.contents, deliver }
}

/** A window as a fog node sent it before it was set back, and as it puts it together since. */
const former = { readings: 20, voltageCount: 20, voltageSumDv: 46_000, powerSumW: 10_000 }
const ours = { ...former, importWh: 126 }
const conflict = (number: number) => {
  return { type: 'refused', first: number, last: number, code: 'summary/conflict' }
}
const latestOf = ({ summaries }: ReturnType<typeof begin>['contents']) =>
  summaries.filter(({ latest }) => latest).map(({ summary: s }) => [s.revision, s.importWh])

/** The former life's window is stored; the present one has said hello. */
function setBack() {
  const bench = begin()
  const greet = (next: number, store = 7) => {
    const message = encodeUp({ type: 'hello', oldestHeld: next, next, store })
    bench.cloud.received('c1', fog.credential, message)
    bench.cloud.flush()
  }
  greet(1)
  bench.deliver(1, summaryItem(former))
  greet(1)
  return { ...bench, greet }
}

describe('the inbox', () => {
  test('hello is answered with what is durable, then items get one receipt', () => {
    const { deliver, cloud } = begin()
    cloud.received('c1', fog.credential, hello(1, 3))
    expect(sent(cloud.flush())).toEqual([{ type: 'welcome', durable: 0 }])
    const later = { startS: startS + 900, endS: startS + 1_800 }
    expect(deliver(1, summaryItem(), summaryItem(later))).toEqual([{ type: 'receipt', durable: 2 }])
  })

  test('nothing is answered before the commit, and many messages share one', () => {
    const { cloud, clock, contents } = begin()
    const next = { startS: startS + 900, endS: startS + 1_800 }
    expect(cloud.received('c1', fog.credential, items(1, [summaryItem()]))).toEqual([])
    expect(cloud.received('c1', fog.credential, items(2, [summaryItem(next)]))).toEqual([])
    expect(contents.summaries).toHaveLength(0)
    expect(cloud.nextTickAt()).toBe(50)
    expect(cloud.tick()).toEqual([])
    clock.monotonicMs = 50
    expect(sent(cloud.tick())).toEqual([{ type: 'receipt', durable: 2 }])
    expect(cloud.counters()).toMatchObject({ commits: 1, items: { summary: 2 } })
    expect(cloud.nextTickAt()).toBeNull()
  })

  test('duplicates get the same receipt and change nothing', () => {
    const { deliver, contents } = begin()
    deliver(1, summaryItem())
    const before = structuredClone(contents)
    expect(deliver(1, summaryItem())).toEqual([{ type: 'receipt', durable: 1 }])
    expect(contents).toEqual(before)
  })

  test('a part already there is skipped, the rest is taken', () => {
    const { deliver, contents } = begin()
    deliver(1, summaryItem())
    const next = summaryItem({ startS: startS + 900, endS: startS + 1_800 })
    // Under number 1 something else is offered now: it must not be looked at again.
    expect(deliver(1, summaryItem({ importWh: 9 }), next)).toEqual([
      { type: 'receipt', durable: 2 },
    ])
    expect(contents.summaries.map((entry) => entry.summary.importWh)).toEqual([125, 125])
  })

  test('a hole is asked for, once a second, and nothing behind it is stored', () => {
    const { deliver, contents, clock } = begin()
    expect(deliver(3, summaryItem())).toEqual([{ type: 'resend', from: 1 }])
    expect(deliver(4, summaryItem())).toEqual([])
    clock.monotonicMs += 1_000
    expect(deliver(5, summaryItem())).toEqual([{ type: 'resend', from: 1 }])
    expect(contents.summaries).toHaveLength(0)
  })

  test('numbers a fog no longer holds are given up, with an event', () => {
    const { cloud, contents, deliver } = begin()
    cloud.received('c1', fog.credential, hello(8, 10))
    // The truth first, so that a fog which was told otherwise once can do something about it.
    expect(sent(cloud.flush())).toEqual([{ type: 'welcome', durable: 0 }])
    expect(contents.events).toEqual([])
    expect(deliver(8, summaryItem())).toEqual([{ type: 'receipt', durable: 8 }])
    expect(contents.events).toMatchObject([{ source: 'cloud', code: 'gap', fog: 'fog-1' }])
    expect(contents.fogs.get('fog-1')).toMatchObject({ durable: 8, next: 10 })
  })

  test('a fog that lost its outbox is told how far the cloud is', () => {
    const { cloud, contents, deliver } = begin()
    deliver(1, summaryItem())
    cloud.received('c1', fog.credential, hello(1, 1))
    expect(sent(cloud.flush())).toEqual([{ type: 'welcome', durable: 1 }])
    expect(contents.events).toMatchObject([{ code: 'numbers-restarted' }])
  })

  test('a gap the fog declares is passed over and noted; one it does not declare is asked for', () => {
    const { cloud, contents } = begin()
    const deliver = (first: number, gapFrom: number | null) => {
      const encoded = encodeItem(
        summaryItem({ startS: startS + first * 900, endS: startS + first * 900 + 900 }),
      )
      cloud.received('c1', fog.credential, encodeItems(first, [encoded], gapFrom))
      return sent(cloud.flush())
    }
    expect(deliver(1, null)).toEqual([{ type: 'receipt', durable: 1 }])
    expect(deliver(5, null)).toEqual([{ type: 'resend', from: 2 }])
    expect(deliver(5, 3)).toEqual([])
    expect(contents.events).toEqual([])
    expect(deliver(5, 2)).toEqual([{ type: 'receipt', durable: 5 }])
    expect(deliver(5, 2)).toEqual([{ type: 'receipt', durable: 5 }])
    expect(deliver(4, 1)).toEqual([{ type: 'receipt', durable: 5 }])
    expect(contents.events.map(({ code, detail }) => [code, detail])).toEqual([
      ['items-given-up', expect.stringMatching(/^outbox numbers 2 to 4: /)],
    ])
    expect(contents.summaries.map(({ number }) => number)).toEqual([1, 5])
  })

  test('the newest channel of a fog wins', () => {
    const { cloud, deliver, contents } = begin()
    const outputs = cloud.opened('c2', fog.credential)
    expect(sent(outputs)).toEqual([{ type: 'ended', code: 'superseded' }])
    expect(outputs.map(({ type }) => type)).toEqual(['send', 'drop'])
    expect(outputs).toMatchObject([{ cid: 'c1' }, { cid: 'c1', code: 'cloud/superseded' }])
    expect(deliver(1, summaryItem())).toEqual([])
    expect(contents.summaries).toHaveLength(0)
    cloud.received('c2', fog.credential, items(1, [summaryItem()]))
    expect(cloud.flush()).toMatchObject([{ type: 'send', cid: 'c2' }, { type: 'stored' }])
    cloud.closed('c1')
    expect(cloud.openFogs()).toEqual(['fog-1'])
    cloud.closed('c2')
    expect(cloud.openFogs()).toEqual([])
  })

  test('nonsense and messages of meters only count', () => {
    const { cloud } = begin()
    const nonsense = [new Uint8Array(), new Uint8Array([0xff]), encode([99, 1]), encode('hello')]
    const down = encodeDown({ type: 'receipt', durable: 5 })
    const report = encodeUp({
      type: 'block',
      first: 1,
      last: 1,
      skipped: [],
      signature: new Uint8Array(64),
    })
    for (const message of [...nonsense, down, report])
      expect(cloud.received('c1', fog.credential, message)).toEqual([])
    expect(cloud.nextTickAt()).toBeNull()
    const { messages } = cloud.counters()
    expect((messages['malformed'] ?? 0) + (messages['unexpected'] ?? 0)).toBe(6)
    expect(messages['unexpected']).toBeGreaterThanOrEqual(1)
  })
})

describe('summaries', () => {
  const refusals: [name: string, change: Partial<Summary>, code: string][] = [
    ['a mean above the maximum', { powerSumW: 900 * 30 + 1 }, 'summary/impossible'],
    ['a mean below the minimum', { powerSumW: 100 * 30 - 1 }, 'summary/impossible'],
    ['voltages below their minimum', { voltageMinDv: 2_301 }, 'summary/impossible'],
    ['voltages above their maximum', { voltageMaxDv: 2_299 }, 'summary/impossible'],
    ['a year beyond dates', { endS: 253_402_300_800 }, 'summary/impossible'],
    ['power no line carries', { powerMaxW: 1_000_000_001 }, 'summary/impossible'],
    ['energy no fog counts for 30 readings', { importWh: 30 * 10 ** 6 + 1 }, 'summary/impossible'],
  ]

  test.each([1, 60, 900, 3_599, 86_399, 86_400])(
    'the latest time a reading may have fits a window of %i s that is taken',
    (seconds) => {
      const { deliver, contents } = begin()
      const endS = windowEnd(readingLimits.timeS, seconds)
      const answers = deliver(1, summaryItem({ startS: endS - seconds, endS }))
      expect(answers).toEqual([{ type: 'receipt', durable: 1 }])
      expect(contents.summaries).toHaveLength(1)
    },
  )

  test.each(refusals)('refused: %s', (_name, change, code) => {
    const { deliver, contents } = begin()
    expect(deliver(1, summaryItem(change))).toEqual([
      { type: 'refused', first: 1, last: 1, code },
      { type: 'receipt', durable: 1 },
    ])
    expect(contents.refused).toMatchObject([{ number: 1, kind: 'summary', code }])
    expect(contents.summaries).toHaveLength(0)
  })

  test('the most a fog counts is accepted, however much above one register it is', () => {
    const [readings, meters] = [3_000_000, 1] // 1 MWh each: three times what a register can show
    const extreme = { readings, meters, importWh: readings * 10 ** 6, powerSumW: 500 * readings }
    expect(begin().deliver(1, summaryItem(extreme))).toEqual([{ type: 'receipt', durable: 1 }])
  })

  test('no voltage at all is fine', () => {
    expect(begin().deliver(1, summaryItem(noVoltage))).toEqual([{ type: 'receipt', durable: 1 }])
  })

  test('the same one under another number is no news, a differing one a conflict', () => {
    const { deliver, contents, cloud } = begin()
    deliver(1, summaryItem())
    expect(deliver(2, summaryItem())).toEqual([{ type: 'receipt', durable: 2 }])
    expect(deliver(3, summaryItem({ importWh: 126 }))).toEqual([
      { type: 'refused', first: 3, last: 3, code: 'summary/conflict' },
      { type: 'receipt', durable: 3 },
    ])
    expect(contents.summaries).toHaveLength(1)
    expect(cloud.counters()).toMatchObject({
      items: { summary: 1, duplicate: 1 },
      refused: { 'summary/conflict': 1 },
    })
  })

  describe('of a fog node that was set back', () => {
    test('a revision behind one that was refused is refused too, also in one message', () => {
      const { deliver, contents } = setBack()
      const other = { startS: startS + 900, endS: startS + 1_800 }
      const next = summaryItem({ ...ours, revision: 1 })
      expect(deliver(2, summaryItem(ours), next, summaryItem(other))).toEqual([
        conflict(2),
        conflict(3),
        { type: 'receipt', durable: 4 },
      ])
      expect(deliver(5, summaryItem({ ...ours, revision: 9 }))[0]).toEqual(conflict(5))
      expect(deliver(6, summaryItem(former))).toEqual([{ type: 'receipt', durable: 6 }])
      expect(latestOf(contents)).toEqual([
        [0, 125],
        [0, 125],
      ])
      expect(contents.fogs.get('fog-1')?.totals.readings).toBe(50n)
    })

    test('one that goes on where the stored history ends replaces it, with fewer readings too', () => {
      const { deliver, contents } = setBack()
      const less = { readings: 19, voltageCount: 19, voltageSumDv: 43_700, powerSumW: 9_500 }
      deliver(2, summaryItem(former), summaryItem({ ...less, revision: 1 }))
      expect(latestOf(contents)).toEqual([[1, 125]])
      expect(contents.fogs.get('fog-1')?.totals.readings).toBe(19n)
    })

    test('set back once more, to a copy that goes on with what is stored, it is heard again', () => {
      const { deliver, greet, contents } = setBack()
      deliver(2, summaryItem(ours))
      greet(2)
      expect(deliver(3, summaryItem({ ...former, revision: 1, importWh: 130 }))).toEqual([
        { type: 'receipt', durable: 3 },
      ])
      expect(latestOf(contents)).toEqual([[1, 130]])
    })

    test('with a new store it adds to the window, as any other would', () => {
      const { deliver, greet, contents } = setBack()
      deliver(2, summaryItem(ours))
      expect(contents.forks).toHaveLength(1)
      greet(1, 8)
      expect(contents.forks).toEqual([])
      deliver(1, summaryItem(ours))
      expect(latestOf(contents)).toEqual([[1, 251]])
    })
  })

  test('a revision replaces, an older one that comes late does not, totals follow', () => {
    const { deliver, contents } = begin()
    deliver(1, summaryItem({ revision: 2, readings: 31, powerSumW: 15_500, importWh: 130 }))
    deliver(2, summaryItem({ revision: 1, readings: 29, voltageCount: 29, voltageSumDv: 66_700 }))
    expect(contents.summaries.map((entry) => entry.latest)).toEqual([true, false])
    expect(contents.fogs.get('fog-1')?.totals).toMatchObject({
      summaries: 1,
      readings: 31n,
      powerSumW: 15_500n,
      importWh: 130n,
    })
    expect(contents.events).toEqual([])
  })

  test('a revision that counts fewer readings is noted', () => {
    const { deliver, contents } = begin()
    deliver(1, summaryItem())
    deliver(2, summaryItem({ revision: 1, readings: 29, voltageCount: 29, voltageSumDv: 66_700 }))
    expect(contents.events).toMatchObject([{ code: 'summary-shrunk', source: 'cloud' }])
    expect(contents.fogs.get('fog-1')?.totals.readings).toBe(29n)
  })

  test('sums beyond 2^53 stay exact and refuse nothing', () => {
    const { deliver, contents } = begin()
    const huge = {
      readings: 2 ** 32,
      powerMinW: 0,
      powerMaxW: 1_000_000_000,
      powerSumW: Number.MAX_SAFE_INTEGER,
    }
    deliver(1, summaryItem(huge))
    expect(deliver(2, summaryItem({ startS: startS + 900, endS: startS + 1_800 }))).toEqual([
      { type: 'receipt', durable: 2 },
    ])
    expect(contents.refused).toEqual([])
    const [, second] = contents.summaries
    expect(contents.fogs.get('fog-1')?.totals.powerSumW).toBe(
      BigInt(Number.MAX_SAFE_INTEGER) + BigInt(second?.summary.powerSumW ?? 0),
    )
  })
})

describe('registers', () => {
  test('a register counts when the meter’s credential came and its signature holds', () => {
    const { deliver, contents } = begin()
    deliver(1, credentialItem(meter), register(meter, 15))
    expect(contents.refused).toEqual([])
    expect(contents.registers).toMatchObject([{ flags: 0, newest: true, statement: { last: 15 } }])
    deliver(3, credentialItem(meter), register(meter, 15))
    expect(contents.registers).toHaveLength(1)
    expect(contents.credentials).toHaveLength(1)
  })

  const stranger = device('meter', 'kitchen', { seed: 7 })
  const refusals: [name: string, list: Item[], code: string][] = [
    [
      'signed by another key',
      [credentialItem(meter), register(stranger, 15)],
      'cose/bad-signature',
    ],
    [
      'a fog’s own credential as a meter’s',
      [credentialItem(device('fog', 'fog-9'))],
      'credential/wrong-role',
    ],
    [
      'a meter of another group',
      [credentialItem(device('meter', 'x', { group: 'other' }))],
      'credential/wrong-group',
    ],
    [
      'a credential nobody of ours signed',
      [credentialItem(device('meter', 'x', { issuer: foreignAuthority }))],
      'credential/untrusted',
    ],
    [
      'an envelope of nonsense',
      [{ type: 'register', envelope: new Uint8Array([1, 2]) }],
      'cose/malformed',
    ],
  ]

  test.each(refusals)('refused: %s', (_name, list, code) => {
    const { deliver, contents } = begin()
    const answers = deliver(1, ...list)
    expect(contents.refused.map((entry) => entry.code)).toEqual([code])
    expect(contents.registers).toEqual([])
    expect(answers.at(-1)).toEqual({ type: 'receipt', durable: list.length })
  })

  test('of a meter never introduced: its credential is asked for, and then it counts', () => {
    const { deliver, cloud, contents } = begin()
    const next = { startS: startS + 900, endS: startS + 1_800 }
    expect(deliver(1, summaryItem(), register(meter, 15), summaryItem(next))).toEqual([
      { type: 'unknown', deviceId: 'kitchen' },
      { type: 'resend', from: 2 },
      { type: 'receipt', durable: 1 },
    ])
    expect(contents).toMatchObject({ refused: [], registers: [] })
    const answer = encodeUp({ type: 'credential', cwt: meter.credential.encoded })
    cloud.received('c1', fog.credential, answer)
    expect(deliver(2, register(meter, 15), summaryItem(next))).toEqual([
      { type: 'receipt', durable: 3 },
    ])
    expect(contents.registers).toHaveLength(1)
    expect(contents.summaries).toHaveLength(2)
  })

  test('… and refused when nobody answers, or with another credential', () => {
    const { deliver, cloud, contents } = begin()
    const wrong = encodeUp({ type: 'credential', cwt: device('meter', 'x').credential.encoded })
    const foreign = device('meter', 'kitchen', { issuer: foreignAuthority }).credential
    for (let asked = 0; asked < 16; asked++) {
      expect(deliver(1, register(meter, 15))).toContainEqual({
        type: 'unknown',
        deviceId: 'kitchen',
      })
      cloud.received('c1', fog.credential, wrong)
      const untrusted = encodeUp({ type: 'credential', cwt: foreign.encoded })
      cloud.received('c1', fog.credential, untrusted)
    }
    expect(deliver(1, register(meter, 15))).toEqual([
      { type: 'refused', first: 1, last: 1, code: 'register/unknown-meter' },
      { type: 'receipt', durable: 1 },
    ])
    expect(contents.refused.map(({ code }) => code)).toEqual(['register/unknown-meter'])
  })

  test('a fog that counts what another one counts is asked at once to let go, on its own channel', () => {
    const { deliver, cloud, clock, contents } = begin()
    const second = device('fog', 'fog-2')
    cloud.opened('c2', second.credential)
    const claim = (last: number, from: number): Item => {
      const item = register(meter, last) as Extract<Item, { type: 'register' }>
      return { ...item, from }
    }
    const withdraw = { type: 'withdraw', deviceId: 'kitchen', first: 20, through: 45 }
    deliver(1, credentialItem(meter), claim(30, 20))
    cloud.received('c2', second.credential, items(1, [credentialItem(meter), claim(45, 1)]))
    const outputs = cloud.flush()
    const asked = outputs.filter((output) => output.type === 'send' && output.cid === 'c1')
    expect(sent(asked)).toEqual([{ ...withdraw, through: 30 }])
    // Not twice in a minute, unless there is more of it.
    expect(deliver(3, summaryItem())).toEqual([{ type: 'receipt', durable: 3 }])
    expect(deliver(4, claim(45, 20))).toContainEqual(withdraw)
    clock.nowMs += 60_000
    expect(deliver(5, claim(60, 20))).toContainEqual(withdraw)
    const taken = {
      deviceId: 'kitchen',
      first: 20,
      through: 45,
      readings: 26,
      importWh: 9,
      exportWh: 0,
    }
    expect(deliver(6, { type: 'withdrawn', withdrawn: taken })).toEqual([
      { type: 'receipt', durable: 6 },
    ])
    expect(contents.runs).toMatchObject([
      { fog: 'fog-1', first: 20, last: 60, doubled: 45, withdrawn: 45 },
      { fog: 'fog-2', first: 1, last: 45, doubled: 0 },
    ])
    expect(contents.events.map(({ code }) => code)).toEqual([
      'counted-twice',
      'counted-twice',
      'withdrawn',
    ])
  })

  test('… and again as soon as it connects anew: on the channel before it may not have heard', () => {
    const { deliver, cloud } = begin()
    const second = device('fog', 'fog-2')
    cloud.opened('c2', second.credential)
    const claim = (from: number): Item => {
      const item = register(meter, 30) as Extract<Item, { type: 'register' }>
      return { ...item, from }
    }
    deliver(1, credentialItem(meter), claim(20))
    cloud.received('c2', second.credential, items(1, [credentialItem(meter), claim(1)]))
    const withdraw = { type: 'withdraw', deviceId: 'kitchen', first: 20, through: 30 }
    expect(sent(cloud.flush())).toContainEqual(withdraw)
    cloud.opened('c3', fog.credential)
    cloud.received('c3', fog.credential, hello(3, 3))
    const outputs = cloud.flush()
    expect(outputs.map((output) => output.type === 'send' && output.cid)).toEqual(['c3', 'c3'])
    expect(sent(outputs)).toEqual([{ type: 'welcome', durable: 2 }, withdraw])
    // With what comes on the same channel it is not asked at once again.
    cloud.received('c3', fog.credential, items(3, [summaryItem()]))
    expect(sent(cloud.flush())).toEqual([{ type: 'receipt', durable: 3 }])
  })

  test('a run that cannot be is refused, and so is letting go of one never claimed', () => {
    const { deliver, contents } = begin()
    const item = register(meter, 15) as Extract<Item, { type: 'register' }>
    deliver(1, credentialItem(meter), { ...item, from: 16 })
    const nothing = { deviceId: 'kitchen', first: 1, through: 2 }
    const withdrawn = { ...nothing, readings: 2, importWh: 1, exportWh: 0 }
    deliver(3, { type: 'withdrawn', withdrawn })
    expect(contents.refused.map(({ code }) => code)).toEqual([
      'register/bad-run',
      'withdrawn/unknown',
    ])
  })

  test('of a revoked meter: refused; without the list it would count', () => {
    const { deliver, contents, revocations } = begin()
    deliver(1, credentialItem(meter), register(meter, 15))
    revocations.list = revocationList(2, [meter])
    deliver(3, register(meter, 30), credentialItem(meter))
    expect(contents.refused.map((entry) => entry.code)).toEqual([
      'credential/revoked',
      'credential/revoked',
    ])
    revocations.list = null
    deliver(5, register(meter, 30))
    expect(contents.registers).toHaveLength(2)
  })

  test('an older credential still verifies what was signed with it', () => {
    const { deliver, contents } = begin()
    const renewed = device('meter', 'kitchen', { seed: 5 })
    deliver(1, credentialItem(meter), credentialItem(renewed))
    deliver(3, register(renewed, 30), register(meter, 15))
    expect(contents.refused).toEqual([])
    expect(contents.registers.map(({ newest }) => newest)).toEqual([true, false])
  })

  test('evidence from outside the credential’s time is kept and flagged', () => {
    const { deliver, contents } = begin()
    const shortLived = device('meter', 'short', { notAfterS: startS + 600 })
    deliver(1, credentialItem(shortLived), register(shortLived, 15))
    expect(contents.registers[0]?.flags).toBe(registerFlags.outsideValidity)
  })

  test('a time the meter itself does not believe contradicts nothing', () => {
    const { deliver, contents } = begin()
    const dark = { status: timeQuality.unknown, startTimeS: 10, endTimeS: 70 }
    deliver(1, credentialItem(meter), register(meter, 15), register(meter, 30, dark))
    deliver(4, register(meter, 45))
    expect(contents.registers.map(({ flags }) => flags)).toEqual([0, 0, 0])
    // The same times under a clock that claims to be right are two doubts.
    deliver(5, register(meter, 60, { ...dark, status: timeQuality.synchronised }))
    expect(contents.registers.at(-1)?.flags).toBe(
      registerFlags.timeBack | registerFlags.outsideValidity,
    )
    expect(contents.events).toMatchObject([{ code: 'register-time' }])
  })

  test('a range grows, never shrinks, and a malformed one is refused alone', () => {
    const { deliver, contents } = begin()
    deliver(1, gapItem({ last: 30 }), gapItem(), gapItem({ first: 17, deviceId: 'no name' }))
    deliver(4, gapItem({ first: 18, endS: 2 ** 40 }), gapItem({ first: 19 }))
    expect(contents.gaps.map(({ first, last }) => [first, last])).toEqual([
      [16, 30],
      [19, 20],
    ])
    expect(contents.refused.map(({ code }) => code)).toEqual(['gap/bad-device', 'item/bad-time'])
  })

  test('a register that goes back is stored, flagged, and an event', () => {
    const { deliver, contents } = begin()
    deliver(1, credentialItem(meter), register(meter, 30))
    deliver(3, register(meter, 45, { startImportWh: 1_000, endImportWh: 1_100 }))
    expect(contents.registers[1]?.flags).toBe(registerFlags.importBack)
    expect(contents.events).toMatchObject([
      { code: 'register-backwards', source: 'cloud', deviceId: 'kitchen' },
    ])
  })

  test('one that comes late flags the later one it contradicts', () => {
    const { deliver, contents } = begin()
    deliver(1, credentialItem(meter), register(meter, 30))
    deliver(3, register(meter, 15, { endImportWh: 5_000 }))
    expect(contents.registers.map((entry) => entry.flags)).toEqual([registerFlags.importBack, 0])
    expect(contents.registers.map((entry) => entry.newest)).toEqual([true, false])
  })

  test('a declared reset is no reason for an alarm by itself', () => {
    const { deliver, contents } = begin()
    const replaced = { status: status.meterReplaced }
    deliver(1, credentialItem(meter), register(meter, 15, replaced))
    expect(contents.registers[0]?.flags).toBe(registerFlags.declaredReset)
    expect(contents.events).toEqual([])
  })

  test('two statements for one reading number: both kept, both flagged', () => {
    const { deliver, contents } = begin()
    deliver(1, credentialItem(meter), register(meter, 15))
    deliver(3, register(meter, 15, { endImportWh: 1_200 }))
    expect(contents.registers.map((entry) => entry.flags)).toEqual([
      registerFlags.conflict,
      registerFlags.conflict,
    ])
    expect(contents.events.map((event) => event.code)).toEqual([
      'register-conflict',
      'register-conflict',
    ])
  })

  test('a fog cannot fake a second history by padding the unsigned header', () => {
    const { deliver, contents } = begin()
    const content = statement('kitchen', 15)
    const signature = signStatement(meter.key, content)
    const { envelope } = register(meter, 15) as Extract<Item, { type: 'register' }>
    const padded = encode([
      encode(new Map([[1, -8]])),
      new Map([[99, 1]]),
      encodeStatement(content),
      signature,
    ])
    expect(decodeSign1(envelope).payload).toEqual(encodeStatement(content))
    deliver(1, credentialItem(meter), { type: 'register', envelope })
    deliver(3, { type: 'register', envelope: padded })
    expect(contents.registers).toHaveLength(1)
    expect(contents.registers[0]?.flags).toBe(0)
    expect(contents.events).toEqual([])
  })
})

describe('other items', () => {
  test('events and status', () => {
    const { deliver, contents } = begin()
    const event = { code: 'register-backwards', timeS: startS, deviceId: 'kitchen', detail: '7 Wh' }
    deliver(1, { type: 'event', event }, { type: 'fogStatus', status: fogStatus })
    expect(contents.events).toMatchObject([{ ...event, fog: 'fog-1', source: 'fog' }])
    expect(contents.statuses.get('fog-1')).toEqual(fogStatus)
  })

  test('a time or name that cannot be is refused', () => {
    const { deliver, contents } = begin()
    const event = { code: 'gap', timeS: startS, deviceId: null, detail: '' }
    const broken: Item[] = [
      { type: 'event', event: { ...event, timeS: 10 ** 13 } },
      { type: 'event', event: { ...event, deviceId: 'a\u001b[31m' } },
    ]
    deliver(1, ...broken)
    expect(contents.refused.map((entry) => entry.code)).toEqual([
      'item/bad-time',
      'event/bad-device',
    ])
    expect(contents.events).toEqual([])
  })

  test('an unreadable item is refused alone; its neighbours count', () => {
    const { cloud, contents } = begin()
    const bad = encode([77, 'what?'])
    const good = [summaryItem(), summaryItem({ startS: startS + 900, endS: startS + 1_800 })]
    const [before, after] = good.map((item) => encodeItem(item))
    const message = new Uint8Array([0x83, 4, 1, 0x83, ...(before ?? []), ...bad, ...(after ?? [])])
    cloud.received('c1', fog.credential, message)
    const answers = sent(cloud.flush())
    expect(answers).toEqual([
      { type: 'refused', first: 2, last: 2, code: 'messages/malformed' },
      { type: 'receipt', durable: 3 },
    ])
    expect(contents.summaries.map((entry) => entry.number)).toEqual([1, 3])
  })
})

describe('revocations', () => {
  test('go to fogs that are open, to others with their welcome, and end the revoked', () => {
    const { cloud, revocations, connect } = begin()
    const bad = device('fog', 'fog-bad')
    connect(bad, 'c9')
    const list = revocationList(3, [bad])
    revocations.list = list
    const outputs = cloud.setRevocations(list.encoded)
    expect(outputs).toContainEqual({ type: 'drop', cid: 'c9', code: 'credential/revoked' })
    expect(sent(outputs)).toEqual([{ type: 'revocations', list: list.encoded }])
    expect(cloud.openFogs()).toEqual(['fog-1'])
    cloud.received('c1', fog.credential, hello(1, 1))
    expect(sent(cloud.flush())).toEqual([
      { type: 'welcome', durable: 0 },
      { type: 'revocations', list: list.encoded },
    ])
  })
})

/** Fails while `broken` says so, after the work was done: nothing of it may remain. */
function failing(store: CloudStore, broken: () => boolean): CloudStore {
  return {
    ...store,
    transact: (work) =>
      store.transact((tx) => {
        const result = work(tx)
        if (broken()) throw new CodedError('sqlite/full', 'the disk is full')
        return result
      }),
  }
}

describe('a store that fails', () => {
  test('no receipt, no refusal, nothing stored; the fog comes back and all is well', () => {
    const memory = createMemoryStore()
    let full = true
    const { cloud, connect, deliver } = testCloud(failing(memory, () => full))
    connect(fog, 'c1')
    const outputs = deliver(fog, 'c1', items(1, [summaryItem()]))
    expect(outputs).toMatchObject([
      { type: 'failed', error: { code: 'sqlite/full' } },
      { type: 'drop', cid: 'c1', code: 'cloud/not-stored' },
    ])
    expect(memory.contents.summaries).toEqual([])
    expect(memory.contents.refused).toEqual([])
    expect(cloud.counters()).toMatchObject({ commits: 0, commitFailures: 1, items: {} })
    full = false
    connect(fog, 'c2')
    expect(sent(deliver(fog, 'c2', items(1, [summaryItem()])))).toEqual([
      { type: 'receipt', durable: 1 },
    ])
  })

  test('one message that cannot be stored does not stop the other fogs', () => {
    const memory = createMemoryStore()
    const poisoned: CloudStore = {
      ...memory,
      transact: (work) =>
        memory.transact((tx) =>
          work({
            ...tx,
            addSummary(entry) {
              if (entry.fog === 'fog-bad') throw new CodedError('sqlite/constraint', 'no')
              tx.addSummary(entry)
            },
          }),
        ),
    }
    const { cloud, connect } = testCloud(poisoned)
    const bad = device('fog', 'fog-bad')
    connect(fog, 'c1')
    connect(bad, 'c2')
    cloud.received('c2', bad.credential, items(1, [summaryItem()]))
    cloud.received('c1', fog.credential, items(1, [summaryItem()]))
    const outputs = cloud.flush()
    expect(outputs).toContainEqual({ type: 'drop', cid: 'c2', code: 'cloud/not-stored' })
    expect(sent(outputs)).toEqual([{ type: 'receipt', durable: 1 }])
    expect(memory.contents.summaries.map((entry) => entry.fog)).toEqual(['fog-1'])
  })
})

test('property: any bytes at all leave the drain standing and the store consistent', () => {
  const { cloud, contents } = begin()
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (payload) => {
      cloud.received('c1', fog.credential, payload)
      cloud.flush()
      expect(contents.summaries.length).toBe(0)
    }),
  )
})

const noVoltage = { voltageCount: 0, voltageSumDv: 0, voltageMinDv: null, voltageMaxDv: null }

test('property: any summary is either refused or adds exactly itself to the totals', () => {
  const someReadings = fc.integer({ min: 2, max: 40 })
  const someSum = fc.integer({ min: -9, max: 40_000 })
  fc.assert(
    fc.property(someReadings, someSum, (readings, sum) => {
      const { deliver, contents } = begin()
      deliver(1, summaryItem({ readings, powerSumW: sum, ...noVoltage }))
      const totals = contents.fogs.get('fog-1')?.totals
      const stored = contents.summaries.map((entry) => entry.summary)
      expect(stored.length + contents.refused.length).toBe(1)
      expect(totals?.readings).toBe(BigInt(stored[0]?.readings ?? 0))
      expect(totals?.powerSumW).toBe(BigInt(stored[0]?.powerSumW ?? 0))
    }),
  )
})
