/** One line of the result: a number that was measured, and what it is held to. */
export interface Figure {
  section: string
  what: string
  /** Median over the rounds, or the value itself where it is exact. */
  median: number
  unit: string
  /** Against the peer measured in the same run, e.g. 0.81 "of one core's bare verify rate". */
  ratio?: { value: number; of: string }
  goal?: Goal
}

/** `on` is the number the goal speaks of: the median or the ratio. */
export interface Goal {
  on: 'median' | 'ratio'
  relation: '≥' | '≤'
  limit: number
}

export interface Report {
  machine: Machine
  figures: Figure[]
}

export interface Machine {
  cpu: string
  cores: number
  memoryGiB: number
  node: string
  date: string
}

/** What the options leave to a section. */
export interface Run {
  rounds: number
  /** A small slice, to see that everything still works. */
  quick: boolean
  /** Folder for CPU profiles of the fog node's programs. */
  profile: string | undefined
  /** Tells people what is going on. */
  say(text: string): void
  /** A folder on a real disk, removed at the end. */
  dir: string
}

export type Section = (run: Run) => Promise<Figure[]>

export const atLeast = (limit: number, on: Goal['on'] = 'ratio'): Goal => ({
  on,
  relation: '≥',
  limit,
})

export const atMost = (limit: number, on: Goal['on'] = 'median'): Goal => ({
  on,
  relation: '≤',
  limit,
})

/** Null where there is no goal. */
export function isMet(figure: Figure): boolean | null {
  const { ratio, goal } = figure
  if (goal === undefined) return null
  const value = goal.on === 'median' ? figure.median : (ratio?.value ?? Number.NaN)
  return goal.relation === '≥' ? value >= goal.limit : value <= goal.limit
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const high = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? high) + high) / 2
}
