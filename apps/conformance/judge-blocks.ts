import { equal, toHex } from '#bytes'
import type { Crypto, VerifyKey } from '#crypto'
import { codeOf } from '#errors'
import type { Up } from '#messages'
import {
  decodeBlock,
  encodeStatement,
  firstChain,
  makeStatement,
  verifyStatement,
  type Block,
  type Statement,
} from '#reading'
import type { ReadingJudge } from './judge-readings.ts'
import type { Failure, Verdicts } from './verdicts.ts'

/** What one message about a block amounts to. */
export type Taken =
  /** In order, judged; `again` when these numbers were signed before. */
  | {
      readonly type: 'block'
      readonly first: number
      readonly last: number
      readonly again: boolean
    }
  /** Not to be judged as it stands: the whole block is needed, from this number on. */
  | { readonly type: 'ask'; readonly from: number }
  | { readonly type: 'bad' }

interface Known {
  readonly statement: string
  readonly signature: string
}

/** Judges signed blocks: the evidence one meter has written, from wherever we came in. */
export class BlockJudge {
  readonly #crypto: Crypto
  readonly #verdicts: Verdicts
  readonly #readings: ReadingJudge
  readonly #deviceId: string
  readonly #key: VerifyKey
  readonly #byLast = new Map<number, Known>()
  /** Bare signatures that did not fit the live readings: the whole block will say why. */
  readonly #unexplained = new Map<number, Failure>()
  /** The number we last asked for. */
  #asked = 0
  #tip: Statement | null = null
  /** Numbers up to here were given up by the meter, or refused by us. */
  #through = 0

  constructor(
    crypto: Crypto,
    verdicts: Verdicts,
    readings: ReadingJudge,
    peer: { deviceId: string; key: VerifyKey },
  ) {
    this.#crypto = crypto
    this.#verdicts = verdicts
    this.#readings = readings
    this.#deviceId = peer.deviceId
    this.#key = peer.key
  }

  /** Highest number under a signature so far. */
  get last(): number {
    return Math.max(this.#tip?.last ?? 0, this.#through)
  }

  /** The meter holds nothing below `oldestHeld`: what was signed before will not come. */
  heldFrom(oldestHeld: number): void {
    if (oldestHeld - 1 <= this.last) return
    this.#through = oldestHeld - 1
    this.#tip = null
  }

  /** A signature over live readings. */
  takeSignature(message: Up & { type: 'block' }): Taken {
    const { first, last, skipped, signature, anchor } = message
    if (this.#byLast.has(last)) return { type: 'block', first, last, again: true }
    const previous = this.#previous(first)
    const readings = this.#readings.live(first, last)
    if (first !== this.last + 1) {
      if (!this.#awaitsNext()) this.#hole(first, last)
      return this.#ask()
    }
    if (previous === null) return this.#ask()
    const skippedCount = skipped.reduce((sum, [from, to]) => sum + to - from + 1, 0)
    // What did not arrive, or could not be read, has been judged elsewhere.
    if (readings.length !== last - first + 1 - skippedCount) return this.#ask()
    try {
      const statement = makeStatement(this.#crypto, {
        deviceId: this.#deviceId,
        ...previous,
        readings,
        skipped,
        anchor,
      })
      if (statement.first === first && statement.last === last) {
        if (verifyStatement(this.#key, statement, signature)) {
          return this.#accept({ statement, signature, readings })
        }
      }
    } catch (error) {
      if (codeOf(error) === 'unknown') throw error
    }
    const came = `block ${first} to ${last}: ${toHex(signature)}`
    const expected = 'a signature over the statement that follows from the live readings'
    this.#unexplained.set(last, { expected, came })
    return this.#ask()
  }

  /** A block with its readings, or its statement alone. */
  takeReport(body: Uint8Array): Taken {
    let block: Block
    try {
      block = decodeBlock(this.#crypto, body, this.#deviceId)
    } catch (error) {
      const numbers = codeOf(error) === 'reading/bad-shape'
      const expected = numbers ? 'numbers without a hole that is not declared' : 'a report'
      const came = `${error instanceof Error ? error.message : ''} (${codeOf(error)}): ${toHex(body)}`
      this.#verdicts.fail(numbers ? 'block/numbers' : 'block/form', { expected, came })
      return { type: 'bad' }
    }
    const { first, last } = block.statement
    // Sent before the meter heard that we want the one before it.
    if (first > this.last + 1 && this.#awaitsNext()) return this.#ask()
    const before = this.#verdicts.failures()
    const taken = this.#judge(block)
    const unexplained = this.#unexplained.get(last)
    this.#unexplained.delete(last)
    if (unexplained !== undefined && this.#verdicts.failures() === before)
      this.#verdicts.fail('block/signature', unexplained)
    return { type: 'block', first, last, again: taken === 'again' }
  }

  /** Signatures that nothing has explained since. */
  finish(): void {
    for (const failure of this.#unexplained.values())
      this.#verdicts.fail('block/signature', failure)
    this.#unexplained.clear()
  }

  #judge(block: Block): 'new' | 'again' {
    const v = this.#verdicts
    const { statement, signature } = block
    const { first, last } = statement
    const known = this.#byLast.get(last)
    if (known !== undefined) {
      const same =
        known.statement === toHex(encodeStatement(statement)) &&
        known.signature === toHex(signature)
      v.judge('receipts/same-bytes', same, () => ({
        expected: `block ${first} to ${last} as before: ${known.statement}`,
        came: `${toHex(encodeStatement(statement))}, signature ${toHex(signature)}`,
      }))
      return 'again'
    }
    this.#readings.signed(block.readings)
    if (!verifyStatement(this.#key, statement, signature)) {
      v.fail('block/signature', {
        expected: `a signature by the key in the credential over ${toHex(encodeStatement(statement))}`,
        came: toHex(signature),
      })
      return this.#goOn(block)
    }
    if (first !== this.last + 1) {
      this.#hole(first, last)
      return this.#goOn(block)
    }
    this.#judgeJoint(statement)
    return this.#accept(block).again ? 'again' : 'new'
  }

  #ask(): Taken {
    this.#asked = this.last + 1
    return { type: 'ask', from: this.#asked }
  }

  #awaitsNext(): boolean {
    return this.#asked === this.last + 1
  }

  #hole(first: number, last: number): void {
    this.#verdicts.fail('block/numbers', {
      expected: `a block that begins with number ${this.last + 1}`,
      came: `block ${first} to ${last}`,
    })
  }

  /** Where two blocks meet: the chain and the registers. */
  #judgeJoint(statement: Statement): void {
    const previous = this.#previous(statement.first)
    if (previous === null) return
    const { previousChain, startImportWh, startExportWh } = previous
    const name = `block ${statement.first} to ${statement.last}`
    this.#verdicts.judge('block/chain', equal(statement.previousChain, previousChain), () => ({
      expected: `previous chain ${toHex(previousChain)}`,
      came: `${toHex(statement.previousChain)} in ${name}`,
    }))
    if (startImportWh === null || startExportWh === null) return
    const joined =
      statement.startImportWh === startImportWh && statement.startExportWh === startExportWh
    this.#verdicts.judge('block/registers', joined, () => ({
      expected: `start registers ${startImportWh} and ${startExportWh} Wh`,
      came: `${statement.startImportWh} and ${statement.startExportWh} Wh in ${name}`,
    }))
  }

  #accept(block: Block): Taken & { type: 'block' } {
    const { statement, signature, readings } = block
    const { first, last } = statement
    this.#verdicts.pass('block/form', 'block/numbers', 'block/signature')
    if (this.#tip !== null || first === 1) this.#verdicts.pass('block/chain')
    if (this.#tip !== null) this.#verdicts.pass('block/registers')
    this.#remember(statement, signature)
    this.#readings.signed(readings)
    return { type: 'block', first, last, again: false }
  }

  /** After a block that is wrong: the next ones are judged by it all the same. */
  #goOn({ statement, signature }: Block): 'new' {
    if (statement.last > this.last) this.#remember(statement, signature)
    return 'new'
  }

  #remember(statement: Statement, signature: Uint8Array): void {
    this.#tip = statement
    this.#byLast.set(statement.last, {
      statement: toHex(encodeStatement(statement)),
      signature: toHex(signature),
    })
  }

  /** What a block that begins with `first` goes on from; null when nobody here knows. */
  #previous(first: number) {
    const tip = this.#tip
    if (tip !== null && first === tip.last + 1) {
      const { chain, endImportWh, endExportWh } = tip
      return { previousChain: chain, startImportWh: endImportWh, startExportWh: endExportWh }
    }
    if (first !== 1) return null
    const previousChain = firstChain(this.#crypto, this.#deviceId)
    return { previousChain, startImportWh: null, startExportWh: null }
  }
}
