import { describe, expect, test } from 'vitest'
import * as fc from 'fast-check'
import { createSender, packItems } from '#delivery'
import type { DeliveryEvent, Outbox, OutboxItem, Reply, SendItem } from '#delivery'
import type { Clock } from '#ports'

/** A clock the test moves by hand. */
function handClock(): Clock & { advance(ms: number): void } {
  let ms = 0
  return { now: () => ms, monotonic: () => ms, advance: (by) => void (ms += by) }
}

/** An outbox in memory that remembers why each item left it. */
function memoryOutbox() {
  let items: OutboxItem[] = []
  let next = 1
  const dropped: OutboxItem[] = []
  const refused: OutboxItem[] = []
  const outbox: Outbox = {
    oldest: () => items[0]?.first ?? next,
    next: () => next,
    read: (from, max) => items.filter((item) => item.last >= from).slice(0, max),
    dropThrough: (number) => {
      dropped.push(...items.filter((item) => item.last <= number))
      items = items.filter((item) => item.last > number)
    },
    refuse: (first, last) => {
      refused.push(...items.filter((item) => item.first >= first && item.last <= last))
      items = items.filter((item) => item.first < first || item.last > last)
    },
    raiseNext: (number) => {
      next = number
    },
  }
  function add(length: number): OutboxItem {
    const item = { first: next, last: next + length - 1, body: new Uint8Array(0) }
    next += length
    items.push(item)
    return item
  }
  return { outbox, add, dropped, refused, held: () => items }
}

const numbers = (payload: Uint8Array) => JSON.parse(new TextDecoder().decode(payload)) as number[]
const payload = (...values: number[]) => new TextEncoder().encode(JSON.stringify(values))
const HELLO = -1

function setup(options: { windowItems?: number } = {}) {
  const clock = handClock()
  const box = memoryOutbox()
  const events: DeliveryEvent[] = []
  const sent: SendItem[] = []
  const sender = createSender({
    outbox: box.outbox,
    clock,
    windowItems: options.windowItems ?? 4,
    resendAfterMs: 30_000,
    hello: (oldest, next) => payload(HELLO, oldest, next),
    frame: (items) => {
      sent.push(...items)
      return items.map((item) => payload(item.first, item.last))
    },
    onEvent: (event) => events.push(event),
  })
  return { clock, box, events, sent, sender }
}

describe('sender', () => {
  test('greets, waits for the welcome, sends a window in order, and pumps on receipts', () => {
    const { box, sender } = setup({ windowItems: 2 })
    for (let i = 0; i < 4; i++) box.add(3)
    expect(sender.pump()).toEqual([])
    expect(sender.onOpen().map(numbers)).toEqual([[HELLO, 1, 13]])
    expect(sender.pump()).toEqual([])
    expect(sender.onMessage({ type: 'receipt', durable: 12 })).toEqual([])
    expect(sender.onMessage({ type: 'welcome', durable: 3 }).map(numbers)).toEqual([
      [4, 6],
      [7, 9],
    ])
    expect(sender.onMessage({ type: 'receipt', durable: 6 }).map(numbers)).toEqual([[10, 12]])
    expect(box.dropped.map((item) => item.last)).toEqual([3, 6])
  })

  test('keeps a range the receipt only reaches into', () => {
    const { box, sender } = setup()
    box.add(16)
    sender.onOpen()
    sender.onMessage({ type: 'welcome', durable: 0 })
    sender.onMessage({ type: 'receipt', durable: 15 })
    expect(box.held()).toHaveLength(1)
    expect(sender.inFlight()).toBe(1)
  })

  test('a refused item is marked once and the rest goes on', () => {
    const { box, sender, events } = setup({ windowItems: 1 })
    box.add(1)
    box.add(1)
    sender.onOpen()
    sender.onMessage({ type: 'welcome', durable: 0 })
    const more = sender.onMessage({ type: 'refused', first: 1, last: 1, code: 'fog/forged' })
    expect(more.map(numbers)).toEqual([[2, 2]])
    expect(box.refused).toHaveLength(1)
    expect(events).toEqual([{ type: 'refused', first: 1, last: 1, code: 'fog/forged' }])
    expect(sender.counters().itemsRefused).toBe(1)
  })

  test('a receipt, refusal or resend for what was never sent changes nothing', () => {
    const { box, sender, events } = setup({ windowItems: 1 })
    box.add(1)
    box.add(1)
    sender.onOpen()
    sender.onMessage({ type: 'welcome', durable: 0 })
    sender.onMessage({ type: 'receipt', durable: 2 })
    sender.onMessage({ type: 'refused', first: 2, last: 2, code: 'x' })
    sender.onMessage({ type: 'resend', from: 2 })
    expect(box.held()).toHaveLength(2)
    expect(events.map((event) => event.type)).toEqual(['ignored', 'ignored', 'ignored'])
  })

  test('a welcome beyond our own numbers raises them', () => {
    const { box, sender, events } = setup()
    box.add(1)
    sender.onOpen()
    sender.onMessage({ type: 'welcome', durable: 9 })
    expect(box.outbox.next()).toBe(10)
    expect(events).toEqual([{ type: 'raised', from: 2, to: 10 }])
  })

  test('a welcome that would use up our numbers is not believed', () => {
    const { box, sender, events, clock } = setup()
    box.add(1)
    sender.onOpen()
    for (const durable of [Number.MAX_SAFE_INTEGER, 2 ** 32 + 3])
      expect(sender.onMessage({ type: 'welcome', durable })).toEqual([])
    expect(events.map((event) => event.type)).toEqual(['ignored', 'ignored'])
    expect([box.outbox.next(), box.held().length, sender.welcomed()]).toEqual([2, 1, false])
    clock.advance(120_000)
    expect(sender.needsReconnect()).toBe(true)
  })

  test('a storm of resend requests rewinds once, then with growing gaps', () => {
    const { box, sender, sent, clock } = setup()
    box.add(1)
    sender.onOpen()
    sender.onMessage({ type: 'welcome', durable: 0 })
    for (let i = 0; i < 60; i++) sender.onMessage({ type: 'resend', from: 1 })
    expect(sent).toHaveLength(2)
    for (let second = 0; second < 20; second++) {
      clock.advance(1_000)
      sender.onMessage({ type: 'resend', from: 1 })
    }
    expect(sent.length).toBeLessThan(8)
    expect(sent.slice(1).every((item) => item.again)).toBe(true)
  })

  test('silence: sends again after resendAfterMs, asks for a new connection after four times that', () => {
    const { box, sender, sent, clock } = setup()
    box.add(1)
    sender.onOpen()
    sender.onMessage({ type: 'welcome', durable: 0 })
    expect(sender.nextTickAt()).toBe(30_000)
    clock.advance(29_999)
    expect(sender.tick()).toEqual([])
    clock.advance(1)
    expect(sender.tick().map(numbers)).toEqual([[1, 1]])
    expect(sent.map((item) => item.again)).toEqual([false, true])
    expect(sender.needsReconnect()).toBe(false)
    clock.advance(90_000)
    expect(sender.needsReconnect()).toBe(true)
    sender.onClosed()
    expect(sender.needsReconnect()).toBe(false)
  })

  test('an unanswered hello is repeated, then the connection is given up', () => {
    const { sender, clock } = setup()
    sender.onOpen()
    clock.advance(30_000)
    expect(sender.tick().map(numbers)).toEqual([[HELLO, 1, 1]])
    clock.advance(90_000)
    expect(sender.needsReconnect()).toBe(true)
  })

  test('an idle, fully acknowledged sender has nothing to wait for', () => {
    const { box, sender, clock } = setup()
    box.add(1)
    sender.onOpen()
    sender.onMessage({ type: 'welcome', durable: 0 })
    sender.onMessage({ type: 'receipt', durable: 1 })
    clock.advance(1_000_000)
    expect(sender.needsReconnect()).toBe(false)
    expect(sender.nextTickAt()).toBeNull()
  })
})

const itemOf = (first: number, bytes: number): SendItem => ({
  first,
  last: first,
  body: new Uint8Array(bytes),
  again: false,
  gapFrom: null,
})

test('packItems fills payloads up to the limit and starts anew at a hole', () => {
  const pack = packItems({ maxBytes: 10, encode: (first, bodies) => payload(first, bodies.length) })
  const out = pack([
    itemOf(1, 4),
    itemOf(2, 6),
    itemOf(3, 1),
    itemOf(5, 1),
    itemOf(6, 50),
    itemOf(7, 1),
  ])
  expect(out.map(numbers)).toEqual([
    [1, 2],
    [3, 1],
    [5, 1],
    [6, 1],
    [7, 1],
  ])
})

/**
 * A receiver that does what a fog or the cloud promises: accepts in order only, makes things
 * durable in batches, refuses some for good, forgets everything not durable when it restarts.
 */
function modelReceiver(refuses: (first: number) => boolean) {
  let durable = 0
  let staged = 0
  const log: number[] = []
  let pending: number[] = []
  const refused = new Set<number>()
  function receive(message: number[]): Reply[] {
    const [first = 0, last = 0] = message
    if (first === HELLO) {
      staged = Math.max(durable, (message[1] ?? 1) - 1)
      pending = []
      return [{ type: 'welcome', durable }]
    }
    if (last <= staged) return [{ type: 'receipt', durable }]
    if (first !== staged + 1) return [{ type: 'resend', from: staged + 1 }]
    staged = last
    if (refuses(first)) {
      refused.add(first)
      return [{ type: 'refused', first, last, code: 'model/no' }]
    }
    for (let number = first; number <= last; number++) pending.push(number)
    return []
  }
  function commit(): Reply[] {
    log.push(...pending)
    pending = []
    if (staged === durable) return []
    durable = staged
    return [{ type: 'receipt', durable }]
  }
  return { receive, commit, log, refused, restart: () => ((staged = durable), (pending = [])) }
}

type Step =
  | { do: 'add'; length: number }
  | { do: 'up'; fate: 'deliver' | 'lose' | 'twice' }
  | { do: 'down'; fate: 'deliver' | 'lose' | 'twice' }
  | { do: 'commit' | 'reconnect' | 'restartReceiver' }
  | { do: 'wait'; ms: number }

const fate = fc.constantFrom('deliver', 'deliver', 'deliver', 'lose', 'twice')
const stepArbitrary: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('add' as const),
      length: fc.integer({ min: 1, max: 5 }),
    }),
  },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('up' as const), fate }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('down' as const), fate }) },
  { weight: 4, arbitrary: fc.constant({ do: 'commit' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'reconnect' as const }) },
  { weight: 1, arbitrary: fc.constant({ do: 'restartReceiver' as const }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.integer({ min: 1, max: 40_000 }),
    }),
  },
)

/** Runs the steps, then a fault-free end, and returns everything there is to check. */
function play(steps: Step[], refuses: (first: number) => boolean) {
  const world = setup()
  const { sender, box, clock } = world
  const receiver = modelReceiver(refuses)
  let up: Uint8Array[] = []
  let down: Reply[] = []
  const added: OutboxItem[] = []
  const send = (payloads: Uint8Array[]) => up.push(...payloads)
  function open(): void {
    up = []
    down = []
    sender.onClosed()
    send(sender.onOpen())
  }
  function moveUp(times: number): void {
    const message = up.shift()
    if (message === undefined) return
    for (let i = 0; i < times; i++) down.push(...receiver.receive(numbers(message)))
  }
  function moveDown(times: number): void {
    const reply = down.shift()
    if (reply === undefined) return
    for (let i = 0; i < times; i++) send(sender.onMessage(reply))
  }
  const times = { deliver: 1, lose: 0, twice: 2 } as const
  function step(next: Step): void {
    if (next.do === 'add') added.push(box.add(next.length))
    else if (next.do === 'up') moveUp(times[next.fate])
    else if (next.do === 'down') moveDown(times[next.fate])
    else if (next.do === 'commit') down.push(...receiver.commit())
    else if (next.do === 'wait') clock.advance(next.ms)
    else if (next.do === 'restartReceiver') receiver.restart()
    if (next.do === 'reconnect' || next.do === 'restartReceiver' || sender.needsReconnect()) open()
    send(sender.tick())
  }
  open()
  for (const next of steps) step(next)
  let rounds = 0
  while (box.held().length > 0 && rounds++ < 2_000) {
    step(up.length > 0 ? { do: 'up', fate: 'deliver' } : { do: 'wait', ms: 5_000 })
    step({ do: 'commit' })
    step({ do: 'down', fate: 'deliver' })
  }
  return { ...world, receiver, added }
}

const everyNumber = (items: readonly OutboxItem[]) =>
  items.flatMap((item) =>
    Array.from({ length: item.last - item.first + 1 }, (_, index) => item.first + index),
  )

test('loss, duplication, reconnects and restarts: everything exactly once, in order', () => {
  fc.assert(
    fc.property(
      fc.array(stepArbitrary, { maxLength: 150 }),
      fc.integer({ min: 2, max: 9 }),
      (steps, n) => {
        const { receiver, added, box } = play(steps, (first) => first % n === 0)
        const accepted = added.filter((item) => !receiver.refused.has(item.first))
        expect(box.held()).toEqual([])
        expect(receiver.log).toEqual(everyNumber(accepted))
        expect(box.refused.every((item) => receiver.refused.has(item.first))).toBe(true)
      },
    ),
    { numRuns: 400 },
  )
})

test('nothing leaves the outbox without a receipt or a refusal', () => {
  fc.assert(
    fc.property(fc.array(stepArbitrary, { maxLength: 80 }), (steps) => {
      const { receiver, box } = play(steps, () => false)
      const durable = new Set(receiver.log)
      expect(everyNumber(box.dropped).every((number) => durable.has(number))).toBe(true)
      expect(box.refused).toEqual([])
    }),
    { numRuns: 200 },
  )
})

test('the model catches a sender that forgets on sending', () => {
  const { sender, box } = setup()
  sender.onOpen()
  sender.onMessage({ type: 'welcome', durable: 0 })
  box.add(1)
  sender.pump()
  box.outbox.dropThrough(box.outbox.next() - 1)
  sender.onClosed()
  const receiver = modelReceiver(() => false)
  for (const hello of sender.onOpen())
    for (const reply of receiver.receive(numbers(hello))) sender.onMessage(reply)
  receiver.commit()
  expect(receiver.log).not.toEqual(everyNumber(box.dropped))
})
