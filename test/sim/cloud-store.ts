import { toHex } from '#bytes'
import type { CloudStore, CloudTx, FogRecord, RegisterEntry, RegisterFacts } from '#cloud'
import type { GapEntry, Run, SummaryEntry } from '#cloud'
import type { Chance } from './chance.ts'
import type { Disk } from './disk.ts'

/** The cloud's database on a simulated disk, with what `#cloud-store` promises about it. */
export function openSimCloudStore(
  disk: Disk,
  chance: Chance,
  through: (tx: CloudTx) => CloudTx = (tx) => tx,
): CloudStore {
  const tx: CloudTx = {
    fog: (deviceId) => disk.get<FogRecord>('fog', deviceId) ?? null,
    saveFog: (deviceId, record) => disk.set('fog', deviceId, { ...record }),
    saveStatus: (deviceId, status) => disk.set('status', deviceId, status),
    addEvent: (entry) => disk.set('event', disk.rows('event').size, entry),
    saveGap(entry) {
      const key = `${entry.deviceId} ${entry.fog} ${entry.kind} ${entry.first}`
      const present = disk.get<GapEntry>('gap', key)
      if (present === undefined || present.last <= entry.last) disk.set('gap', key, entry)
    },
    addRefused: (entry) => disk.set('refused', `${entry.fog} ${entry.number}`, entry),
    ...summaryTables(disk),
    ...forkTables(disk),
    ...registerTables(disk),
    ...runTables(disk),
    credentials: (deviceId, limit) =>
      (disk.get<Uint8Array[]>('credential', deviceId) ?? []).slice(0, limit),
    addCredential({ credential: { deviceId, encoded } }) {
      const known = disk.get<Uint8Array[]>('credential', deviceId) ?? []
      if (known.some((one) => toHex(one) === toHex(encoded))) return
      disk.set('credential', deviceId, [encoded, ...known])
    },
  }
  const seen = through(tx)
  return { id: databaseId(disk, chance), transact: (work) => disk.transaction(() => work(seen)) }
}

function databaseId(disk: Disk, chance: Chance): Uint8Array {
  const known = disk.get<Uint8Array>('identity', 'id')
  const id = known ?? chance.bytes(8)
  if (known === undefined) disk.set('identity', 'id', id)
  return id
}

const windowKey = (fog: string, startS: number) => `${fog} ${startS}`

type SummaryTables = Pick<CloudTx, 'summary' | 'latestSummary' | 'summaryThrough' | 'addSummary'>

/** Per window all its revisions. */
function summaryTables(disk: Disk): SummaryTables {
  const of = (fog: string, startS: number) =>
    disk.get<SummaryEntry[]>('summary', windowKey(fog, startS)) ?? []
  return {
    summary: (fog, startS, revision) =>
      of(fog, startS).find((entry) => entry.summary.revision === revision)?.summary ?? null,
    latestSummary: (fog, startS) => of(fog, startS).find((entry) => entry.latest)?.summary ?? null,
    summaryThrough: (fog, startS, number) =>
      of(fog, startS)
        .filter((entry) => entry.number <= number)
        .toSorted((a, b) => b.summary.revision - a.summary.revision)[0]?.summary ?? null,
    addSummary(added) {
      const { startS } = added.summary
      const others = of(added.fog, startS)
      const kept = added.latest ? others.map((entry) => ({ ...entry, latest: false })) : others
      disk.set('summary', windowKey(added.fog, startS), [...kept, added])
    },
  }
}

/** Per fog the starts of its forked windows. */
function forkTables(disk: Disk): Pick<CloudTx, 'isForked' | 'saveFork' | 'forgetForks'> {
  const of = (fog: string) => disk.get<number[]>('fork', fog) ?? []
  return {
    isForked: (fog, startS) => of(fog).includes(startS),
    saveFork: (fog, startS) => disk.set('fork', fog, [...new Set([...of(fog), startS])]),
    forgetForks: (fog) => disk.set('fork', fog, []),
  }
}

type RegisterTables = Pick<
  CloudTx,
  'registersAt' | 'registerBefore' | 'registerAfter' | 'addRegister' | 'flagRegister'
>

/** Per meter its registers, ascending by reading number. */
function registerTables(disk: Disk): RegisterTables {
  const of = (deviceId: string) => disk.get<RegisterEntry[]>('register', deviceId) ?? []
  return {
    registersAt: (deviceId, last) =>
      of(deviceId)
        .filter(({ statement }) => statement.last === last)
        .map(factsOf),
    registerBefore(deviceId, last) {
      const before = of(deviceId).findLast(({ statement }) => statement.last < last)
      return before === undefined ? null : factsOf(before)
    },
    registerAfter(deviceId, last) {
      const after = of(deviceId).find(({ statement }) => statement.last > last)
      return after === undefined ? null : factsOf(after)
    },
    addRegister(entry) {
      const { deviceId, last } = entry.statement
      const all = of(deviceId)
      const at = all.findLastIndex(({ statement }) => statement.last <= last) + 1
      disk.set('register', deviceId, all.toSpliced(at, 0, entry))
    },
    flagRegister(deviceId, { digest }, flags) {
      const key = toHex(digest)
      const all = of(deviceId).map((entry) =>
        toHex(entry.digest) === key ? { ...entry, flags } : entry,
      )
      disk.set('register', deviceId, all)
    },
  }
}

const runKey = (run: Run) => `${run.deviceId} ${run.fog} ${run.offset} ${run.first}`

function runTables(disk: Disk): Pick<CloudTx, 'runs' | 'saveRun' | 'doubledRuns'> {
  const runs = () => [...disk.rows<Run>('run').values()]
  return {
    runs: (deviceId) => runs().filter((run) => run.deviceId === deviceId),
    saveRun: (run) => disk.set('run', runKey(run), run),
    doubledRuns: (fog, offset, limit) =>
      runs()
        .filter((run) => run.fog === fog && run.offset === offset && run.doubled > run.withdrawn)
        .slice(0, limit),
  }
}

function factsOf({ statement, flags, digest }: RegisterEntry): RegisterFacts {
  return { ...statement, flags, digest }
}
