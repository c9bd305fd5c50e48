import { equal } from '#bytes'
import type { Credential } from '#credential'
import type { FogStatus, Summary } from '#messages'
import type {
  CloudStore,
  CloudTx,
  EventEntry,
  FogRecord,
  GapEntry,
  RefusedEntry,
  RegisterEntry,
  RegisterFacts,
  Run,
  SummaryEntry,
} from './store.ts'

/** Everything an in-memory cloud holds, open to the tests and simulations that use it. */
export interface MemoryContents {
  fogs: Map<string, FogRecord>
  statuses: Map<string, FogStatus>
  summaries: SummaryEntry[]
  /** Fog and start of each window that is forked. */
  forks: { fog: string; startS: number }[]
  credentials: Credential[]
  registers: RegisterEntry[]
  runs: Run[]
  events: EventEntry[]
  gaps: GapEntry[]
  refused: RefusedEntry[]
}

/** A store that forgets: for runs of the whole system in one process under virtual time. */
export function createMemoryStore(): CloudStore & { contents: MemoryContents } {
  const contents: MemoryContents = {
    fogs: new Map(),
    statuses: new Map(),
    summaries: [],
    forks: [],
    credentials: [],
    registers: [],
    runs: [],
    events: [],
    gaps: [],
    refused: [],
  }
  return {
    id: null,
    contents,
    transact(work) {
      const before = snapshot(contents)
      try {
        return work(createTx(contents))
      } catch (error) {
        Object.assign(contents, before)
        throw error
      }
    },
  }
}

/** Shallow copies suffice: entries are replaced below, never changed. */
function snapshot(contents: MemoryContents): MemoryContents {
  return {
    fogs: new Map(contents.fogs),
    statuses: new Map(contents.statuses),
    summaries: [...contents.summaries],
    forks: [...contents.forks],
    credentials: [...contents.credentials],
    registers: [...contents.registers],
    runs: [...contents.runs],
    events: [...contents.events],
    gaps: [...contents.gaps],
    refused: [...contents.refused],
  }
}

function createTx(contents: MemoryContents): CloudTx {
  return {
    fog: (deviceId) => contents.fogs.get(deviceId) ?? null,
    saveFog: (deviceId, record) => void contents.fogs.set(deviceId, { ...record }),
    saveStatus: (deviceId, status) => void contents.statuses.set(deviceId, status),
    addEvent: (entry) => void contents.events.push(entry),
    saveGap(entry) {
      const isSame = (other: GapEntry): boolean =>
        other.fog === entry.fog &&
        other.deviceId === entry.deviceId &&
        other.kind === entry.kind &&
        other.first === entry.first
      const present = contents.gaps.find(isSame)
      if (present !== undefined && present.last > entry.last) return
      contents.gaps = [...contents.gaps.filter((other) => !isSame(other)), entry]
    },
    addRefused: (entry) => void contents.refused.push(entry),
    ...summaryTables(contents),
    ...forkTables(contents),
    ...credentialTables(contents),
    ...registerTables(contents),
    ...runTables(contents),
  }
}

function runTables(contents: MemoryContents): Pick<CloudTx, 'runs' | 'saveRun' | 'doubledRuns'> {
  return {
    runs: (deviceId) => contents.runs.filter((run) => run.deviceId === deviceId),
    saveRun(run) {
      const at = contents.runs.findIndex(
        ({ deviceId, fog, offset, first }) =>
          deviceId === run.deviceId &&
          fog === run.fog &&
          offset === run.offset &&
          first === run.first,
      )
      contents.runs = at < 0 ? [...contents.runs, run] : contents.runs.with(at, run)
    },
    doubledRuns: (fog, offset, limit) =>
      contents.runs
        .filter((run) => run.fog === fog && run.offset === offset && run.doubled > run.withdrawn)
        .slice(0, limit),
  }
}

function summaryTables(
  contents: MemoryContents,
): Pick<CloudTx, 'summary' | 'latestSummary' | 'summaryThrough' | 'addSummary'> {
  const window = (fog: string, startS: number): SummaryEntry[] =>
    contents.summaries.filter((entry) => entry.fog === fog && entry.summary.startS === startS)
  return {
    summary: (fog, startS, revision) =>
      summaryOf(window(fog, startS).find((entry) => entry.summary.revision === revision)),
    latestSummary: (fog, startS) => summaryOf(window(fog, startS).find((entry) => entry.latest)),
    summaryThrough: (fog, startS, number) =>
      summaryOf(
        window(fog, startS)
          .filter((entry) => entry.number <= number)
          .toSorted((a, b) => b.summary.revision - a.summary.revision)[0],
      ),
    addSummary(added) {
      const replaces = (entry: SummaryEntry): boolean =>
        added.latest && entry.fog === added.fog && entry.summary.startS === added.summary.startS
      contents.summaries = contents.summaries.map((entry) =>
        replaces(entry) ? { ...entry, latest: false } : entry,
      )
      contents.summaries.push(added)
    },
  }
}

function forkTables(
  contents: MemoryContents,
): Pick<CloudTx, 'isForked' | 'saveFork' | 'forgetForks'> {
  const isForked = (fog: string, startS: number): boolean =>
    contents.forks.some((fork) => fork.fog === fog && fork.startS === startS)
  return {
    isForked,
    saveFork(fog, startS) {
      if (!isForked(fog, startS)) contents.forks.push({ fog, startS })
    },
    forgetForks(fog) {
      contents.forks = contents.forks.filter((fork) => fork.fog !== fog)
    },
  }
}

function summaryOf(entry: SummaryEntry | undefined): Summary | null {
  return entry?.summary ?? null
}

function credentialTables(
  contents: MemoryContents,
): Pick<CloudTx, 'credentials' | 'addCredential'> {
  return {
    credentials: (deviceId, limit) =>
      contents.credentials
        .filter((credential) => credential.deviceId === deviceId)
        .toReversed()
        .toSorted((a, b) => b.notBeforeS - a.notBeforeS)
        .slice(0, limit)
        .map((credential) => credential.encoded),
    addCredential({ credential }) {
      const known = contents.credentials.some((c) => equal(c.encoded, credential.encoded))
      if (!known) contents.credentials.push(credential)
    },
  }
}

function registerTables(
  contents: MemoryContents,
): Pick<
  CloudTx,
  'registersAt' | 'registerBefore' | 'registerAfter' | 'addRegister' | 'flagRegister'
> {
  const of = (deviceId: string): RegisterEntry[] =>
    contents.registers
      .filter(({ statement }) => statement.deviceId === deviceId)
      .toSorted((a, b) => a.statement.last - b.statement.last)
  return {
    registersAt: (deviceId, last) =>
      of(deviceId)
        .filter(({ statement }) => statement.last === last)
        .map(facts),
    registerBefore(deviceId, last) {
      const earlier = of(deviceId).filter(({ statement }) => statement.last < last)
      const nearest = earlier.at(-1)?.statement.last
      return orNull(earlier.find(({ statement }) => statement.last === nearest))
    },
    registerAfter: (deviceId, last) =>
      orNull(of(deviceId).find(({ statement }) => statement.last > last)),
    addRegister: (entry) => void contents.registers.push(entry),
    flagRegister(deviceId, { digest }, flags) {
      contents.registers = contents.registers.map((entry) =>
        entry.statement.deviceId === deviceId && equal(entry.digest, digest)
          ? { ...entry, flags }
          : entry,
      )
    },
  }
}

function facts({ statement, flags, digest }: RegisterEntry): RegisterFacts {
  return { ...statement, flags, digest }
}

function orNull(entry: RegisterEntry | undefined): RegisterFacts | null {
  return entry ? facts(entry) : null
}
