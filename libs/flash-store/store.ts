import type { OutboxItem } from '#delivery'
import { CodedError } from '#errors'
import type { MeterStore } from '#meter'
import { createBlocks, type Blocks } from './blocks.ts'
import type { Flash } from './flash.ts'
import { openLog, type Log } from './log.ts'
import { decodeOps, encodeOps, type Checkpoint, type Op } from './ops.ts'

export interface FlashStore extends MeterStore {
  /** Writes what lags behind: that blocks were receipted. Before the memory is lost in sleep. */
  flush(): void
  /** Small things the program must find again after a restart; null when never written. */
  note(name: string): Uint8Array | null
  /** Notes are written again with every sector: a kilobyte in all is a lot. */
  setNote(name: string, value: Uint8Array): void
}

/** Sectors kept free for moving blocks out of the way of the next ones. */
const SPARE_SECTORS = 2
/** Fewer could not be used in turn. */
const FEWEST_SECTORS = 6

interface State extends Checkpoint {
  log: Log
  blocks: Blocks
  /** `through` as the flash knows it. */
  told: number
}

/**
 * The memory of one meter in a flash of its own. Whatever the power does, it holds what it held
 * before or after the call that was going on, nothing in between.
 */
export function openFlashStore(flash: Flash): FlashStore {
  if (flash.sectors < FEWEST_SECTORS) throw full(flash)
  let state: State | null = null
  /** Changes of the transaction that is going on: in memory already, not on the flash. */
  let pending: Op[] = []
  let depth = 0
  let moving = false

  const now = () => (state ??= mount(flash))

  function change(op: Op): void {
    apply(now(), op, 0)
    pending.push(op)
    if (depth === 0) commit()
  }

  function commit(): void {
    const ops = pending
    pending = []
    if (ops.length > 0) save(ops)
  }

  /** With them, what lagged behind. */
  function save(ops: readonly Op[]): void {
    const { told, through } = now()
    try {
      write(told === through ? ops : [...ops, { type: 'through', number: through }])
      now().told = through
    } catch (error) {
      state = null
      throw error
    }
  }

  function write(ops: readonly Op[]): void {
    const { log } = now()
    const place = log.append(encodeOps(ops))
    if (place === 0) beginSector(ops)
    else settle(ops, place)
  }

  /** Now that a frame is on the flash, those of its blocks that are still held have a place. */
  function settle(ops: readonly Op[], place: number): void {
    const { blocks } = now()
    for (const op of ops) {
      if (op.type !== 'seal' && op.type !== 'hold') continue
      const held = blocks.lastAt(blocks.from(op.last)) === op.last
      if (held) blocks.put(op.last, place, op.type === 'hold' && op.thin)
    }
  }

  /** A sector begins with all there is to know but the blocks; those of this frame are in it too. */
  function beginSector(ops: readonly Op[]): void {
    const current = now()
    const { log, head, next, through, open, notes } = current
    const span = spanOf(current) + 1
    if (span > flash.sectors) throw full(flash)
    const checkpoint: Op = {
      type: 'checkpoint',
      state: { span, head, next, through, open, notes },
    }
    const kept = ops.filter(({ type }) => type === 'seal' || type === 'hold' || type === 'refuse')
    settle(kept, log.begin(encodeOps([checkpoint, ...kept])))
    if (!moving) makeRoom()
  }

  /** Moves the oldest blocks behind the newest until there are free sectors again. */
  function makeRoom(): void {
    moving = true
    try {
      for (let turn = 0; spanOf(now()) > flash.sectors - SPARE_SECTORS; turn++) {
        if (turn === flash.sectors) throw full(flash)
        moveOldestSector()
      }
    } finally {
      moving = false
    }
  }

  function moveOldestSector(): void {
    const { log, blocks } = now()
    const oldest = (log.newest - spanOf(now()) + 1 + flash.sectors) % flash.sectors
    for (let i = 0; i < blocks.count; i++) {
      if (log.sectorOf(blocks.placeAt(i)) !== oldest) continue
      write([{ type: 'hold', ...itemAt(i), thin: blocks.isThin(i) }])
    }
  }

  function itemAt(index: number): OutboxItem {
    const { blocks, log } = now()
    const [last = 0, place] = [blocks.lastAt(index), blocks.placeAt(index)]
    const ops = place === 0 ? pending.toReversed() : decodeOps(log.read(place)).toReversed()
    for (const op of ops) {
      if ((op.type === 'seal' || op.type === 'hold') && op.last === last) {
        return { first: op.first, last, body: op.body }
      }
    }
    throw new CodedError('meter/store-damaged', 'a signed block is not where it was put')
  }

  function transaction<T>(work: () => T): T {
    depth += 1
    try {
      const result = work()
      if (depth === 1) commit()
      return result
    } catch (error) {
      if (depth === 1) {
        pending = []
        state = null
      }
      throw error
    } finally {
      depth -= 1
    }
  }

  return {
    load() {
      state = null
      const { head, open, next } = now()
      return { head, open: [...open], next }
    },
    append: (number, record) => change({ type: 'append', number, record }),
    seal: ({ first, last, body }, head) => change({ type: 'seal', first, last, body, head }),
    restart: (head, next) => change({ type: 'restart', head, next }),
    transaction,
    oldest: () => (now().blocks.count === 0 ? null : itemAt(0).first),
    count: () => now().blocks.count,
    whole: () => now().blocks.whole,
    oldestWhole() {
      const { blocks } = now()
      for (let i = 0; i < blocks.count; i++) if (!blocks.isThin(i)) return itemAt(i)
      return null
    },
    thin: ({ first, last, body }) => change({ type: 'hold', first, last, body, thin: true }),
    read(fromNumber, maxItems) {
      const { blocks } = now()
      const start = blocks.from(fromNumber)
      const count = Math.max(0, Math.min(maxItems, blocks.count - start))
      return Array.from({ length: count }, (_, i) => itemAt(start + i))
    },
    // Reaches the flash with the next frame.
    dropThrough(number) {
      const current = now()
      if (number <= current.through) return
      current.through = number
      current.blocks.dropThrough(number)
    },
    flush() {
      const { told, through } = now()
      if (told !== through) save([])
    },
    refuse: (_first, last) => change({ type: 'refuse', last }),
    note: (name) => now().notes.get(name) ?? null,
    setNote: (name, value) => change({ type: 'note', name, value }),
  }
}

/** Sectors from the oldest one that still matters to the newest. */
function spanOf({ log, blocks }: State): number {
  if (log.newest < 0) return 0
  let oldest = 0
  for (let i = 0; i < blocks.count; i++) {
    const place = blocks.placeAt(i)
    if (place !== 0) oldest = Math.max(oldest, log.age(place))
  }
  return oldest + 1
}

function mount(flash: Flash): State {
  const log = openLog(flash)
  const state: State = {
    log,
    blocks: createBlocks(),
    told: 0,
    span: 0,
    head: null,
    next: 1,
    through: 0,
    open: [],
    notes: new Map(),
  }
  if (log.newest < 0) return state
  const span = firstOf(log).span
  for (let back = span - 1; back >= 0; back--) {
    let checkpoint = true
    log.replay(back, (place, payload) => {
      for (const op of decodeOps(payload)) {
        const matters = back === 0 && (!checkpoint || op.type === 'checkpoint')
        if (matters || isAboutBlocks(op)) apply(state, blocksOnly(op, matters), place)
      }
      checkpoint = false
    })
  }
  state.blocks.dropThrough(state.through)
  state.told = state.through
  return state
}

function firstOf(log: Log): Checkpoint {
  const [first] = decodeOps(log.first())
  if (first?.type !== 'checkpoint') throw new CodedError('meter/store-damaged', 'no checkpoint')
  return first.state
}

function isAboutBlocks({ type }: Op): boolean {
  return type === 'seal' || type === 'hold' || type === 'refuse'
}

/** Of a seal whose head an already known checkpoint includes, only the block is news. */
function blocksOnly(op: Op, matters: boolean): Op {
  if (matters || op.type !== 'seal') return op
  const { first, last, body } = op
  return { type: 'hold', first, last, body, thin: false }
}

function apply(state: State, op: Op, place: number): void {
  switch (op.type) {
    case 'checkpoint':
      Object.assign(state, op.state)
      break
    case 'append':
      state.open.push(op.record)
      state.next = Math.max(state.next, op.number + 1)
      break
    case 'seal':
      state.blocks.put(op.last, place, false)
      state.head = op.head
      state.open = []
      state.next = Math.max(state.next, op.last + 1)
      break
    case 'restart':
      state.head = op.head
      state.open = []
      state.next = op.next
      break
    case 'hold':
      state.blocks.put(op.last, place, op.thin)
      break
    case 'refuse':
      state.blocks.remove(op.last)
      break
    case 'through':
      state.through = op.number
      break
    case 'note':
      state.notes.set(op.name, op.value)
      break
  }
}

function full({ sectors }: Flash): CodedError {
  const message = `${sectors} sectors of flash have no room left: keep fewer blocks, or give more flash`
  return new CodedError('flash/full', message)
}
