import { askedAgain } from '#messages'

/** Of a fog node's refusals by reason, those by which something was lost; the most frequent first. */
function lasting(refused: Record<string, number>): [reason: string, count: number][] {
  return Object.entries(refused)
    .filter(([reason]) => !askedAgain.has(reason))
    .toSorted(([, a], [, b]) => b - a)
}

export function lastingCount(refused: Record<string, number>): number {
  return lasting(refused).reduce((sum, [, count]) => sum + count, 0)
}

/** `2 conflict, 1 bad-signature`. */
export function lastingText(refused: Record<string, number>): string {
  return lasting(refused)
    .map(([reason, count]) => `${count} ${reason}`)
    .join(', ')
}
