import { CodedError } from '#errors'
import type { SqlValue } from '#sqlite'

export const defaultLimit = 100
export const maxLimit = 1_000

/** One page of a list; `next` goes into `cursor` of the following call, null on the last page. */
export interface Page<T> {
  items: T[]
  next: string | null
}

/** The common filters. Times are seconds since 1970: `since` ≤ t < `until`. */
export interface ListQuery {
  fog?: string | undefined
  since?: number | undefined
  until?: number | undefined
  limit?: number | undefined
  cursor?: string | undefined
}

/** Conditions joined by AND, with their parameters beside them. */
export interface Where {
  clauses: string[]
  params: SqlValue[]
}

/** Adds `clause` with `params` unless one of them is undefined, which means "no filter". */
export function and(where: Where, clause: string, ...params: (SqlValue | undefined)[]): void {
  if (params.some((param) => param === undefined)) return
  where.clauses.push(clause)
  where.params.push(...(params as SqlValue[]))
}

export function whereSql({ clauses }: Where): string {
  return clauses.length === 0 ? '' : `WHERE ${clauses.join(' AND ')}`
}

export function limitOf(query: { limit?: number | undefined }): number {
  const limit = query.limit ?? defaultLimit
  if (Number.isInteger(limit) && limit >= 1 && limit <= maxLimit) return limit
  throw new CodedError('query/bad-limit', `limit is a number from 1 to ${maxLimit}`)
}

/** A cursor is `count` non-negative integers joined by dots; readers treat it as opaque. */
export function parseCursor(cursor: string | undefined, count: number): number[] | null {
  if (cursor === undefined) return null
  const parts = cursor.split('.')
  if (parts.length === count && parts.every((part) => /^\d{1,15}$/.test(part)))
    return parts.map(Number)
  throw new CodedError('query/bad-cursor', 'take the cursor from `next` of the page before')
}

/** `rows` holds one more than the page when another page follows. */
export function pageOf<Row, View>(
  rows: Row[],
  limit: number,
  view: (row: Row) => View,
  cursor: (row: Row) => string,
): Page<View> {
  const shown = rows.slice(0, limit)
  const last = shown.at(-1)
  return {
    items: shown.map(view),
    next: rows.length > limit && last !== undefined ? cursor(last) : null,
  }
}
