import { clauses, groupOf, type Clause } from './clauses.ts'

/** What was expected and what came, for somebody who has to mend it. */
export interface Failure {
  readonly expected: string
  /** In words, with the bytes in hexadecimal where there are some. */
  readonly came: string
}

export interface Result extends Clause {
  readonly group: string
  readonly result: 'pass' | 'fail' | 'not-seen'
  /** How often it was looked at. */
  readonly seen: number
  readonly failures: number
  /** Why it was not seen. */
  readonly reason: string | null
  /** The first failure. */
  readonly expected: string | null
  readonly came: string | null
}

interface Verdict {
  seen: number
  failures: number
  first: Failure | null
  reason: string | null
}

/** What is known about each clause so far. One failure outweighs any number of passes. */
export class Verdicts {
  readonly #byId = new Map<string, Verdict>(
    clauses.map(({ id }) => [id, { seen: 0, failures: 0, first: null, reason: null }]),
  )

  /** It was looked at and is right. */
  pass(...ids: readonly string[]): void {
    for (const id of ids) this.#of(id).seen += 1
  }

  fail(id: string, failure: Failure): void {
    const verdict = this.#of(id)
    verdict.seen += 1
    verdict.failures += 1
    verdict.first ??= failure
  }

  /** Right or wrong, in one call. */
  judge(id: string, right: boolean, failure: () => Failure): void {
    if (right) this.pass(id)
    else this.fail(id, failure())
  }

  /** Why there was nothing to look at; said only when there is nothing else to say. */
  unseen(id: string, reason: string): void {
    this.#of(id).reason ??= reason
  }

  failed(id: string): boolean {
    return this.#of(id).failures > 0
  }

  passed(id: string): boolean {
    const { seen, failures } = this.#of(id)
    return seen > 0 && failures === 0
  }

  failures(): number {
    return [...this.#byId.values()].reduce((sum, { failures }) => sum + failures, 0)
  }

  results(only: ReadonlySet<string> | null): Result[] {
    const wanted = clauses.filter(({ id }) => only === null || only.has(groupOf(id)))
    return wanted.map((clause) => this.#result(clause))
  }

  #result(clause: Clause): Result {
    const { seen, failures, first, reason } = this.#of(clause.id)
    const result = failures > 0 ? 'fail' : seen > 0 ? 'pass' : 'not-seen'
    return {
      ...clause,
      group: groupOf(clause.id),
      result,
      seen,
      failures,
      reason: result === 'not-seen' ? (reason ?? 'nothing of the kind was sent') : null,
      expected: first?.expected ?? null,
      came: first?.came ?? null,
    }
  }

  #of(id: string): Verdict {
    const verdict = this.#byId.get(id)
    if (verdict === undefined) throw new Error(`there is no clause ${id}`)
    return verdict
  }
}
