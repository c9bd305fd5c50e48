import { EventEmitter } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createMetrics } from '#service'
import { openCloudStore } from '#cloud-store'
import { defaults } from '#defaults'
import type { Item } from '#messages'
import { startHttp } from '../../apps/cloud/http/server.ts'
import type { HttpOptions, HttpServer } from '../../apps/cloud/http/server.ts'
import {
  credentialItem,
  device,
  fogStatus,
  gapItem,
  items,
  register,
  startS,
  summaryItem,
  testCloud,
} from './cloud.ts'

export interface TestApi {
  url: string
  folder: string
  /** The SQLite file behind it. */
  storePath: string
  /** What the service says about itself, for a test to change. */
  health: { problem: string | null }
  /** Delivers to the store as a fog would, and tells the watchers. */
  deliver(fog: string, first: number, ...list: Item[]): void
  close(): Promise<void>
}

/** The cloud's HTTP side on a free port of 127.0.0.1, over a store of its own. */
export async function startTestApi(options: Partial<HttpOptions> = {}): Promise<TestApi> {
  const folder = mkdtempSync(join(tmpdir(), 'fogmeter-api-'))
  const storePath = join(folder, 'cloud.db')
  const { store, queries, database } = openCloudStore(storePath)
  const drain = testCloud(store)
  const changes = new EventEmitter()
  const health: TestApi['health'] = { problem: null }
  const discard = (): void => {
    database.close()
    rmSync(folder, { recursive: true })
  }
  let server: HttpServer
  try {
    server = await startHttp({
      listen: { host: '127.0.0.1', port: 0 },
      queries,
      clock: { now: () => (startS + 7_200) * 1_000, monotonic: () => 0 },
      changes,
      health: () => health.problem,
      metrics: createMetrics('cloud').registry,
      version: '0.1.0',
      requestsPerMinute: defaults.http.requestsPerMinute,
      connections: defaults.http.connections,
      requestTimeoutMs: defaults.http.requestTimeoutMs,
      enrolment: null,
      ...options,
    })
  } catch (error) {
    discard()
    throw error
  }
  return {
    url: server.url,
    folder,
    storePath,
    health,
    deliver(name, first, ...list) {
      const fog = device('fog', name)
      drain.connect(fog, name)
      drain.deliver(fog, name, items(first, list))
      changes.emit('stored')
    },
    async close() {
      await server.close()
      discard()
    },
  }
}

/** The window `index` quarters of an hour after the start. */
export function quarter(index: number, changes: Parameters<typeof summaryItem>[0] = {}): Item {
  const windowStartS = startS + index * 900
  return summaryItem({ startS: windowStartS, endS: windowStartS + 900, ...changes })
}

/** Two fogs, two meters, five windows, a flagged register and its event, two gaps. */
export function fill(api: TestApi): void {
  const kitchen = device('meter', 'kitchen')
  const cellar = device('meter', 'cellar')
  const voltageless = { voltageCount: 0, voltageSumDv: 0, voltageMinDv: null, voltageMaxDv: null }
  api.deliver('fog-1', 1, credentialItem(kitchen), register(kitchen, 15), quarter(0), quarter(1))
  api.deliver('fog-1', 5, quarter(1, { revision: 1, importWh: 130 }), quarter(2, voltageless))
  api.deliver('fog-1', 7, register(kitchen, 30, { endImportWh: 3 }), {
    type: 'fogStatus',
    status: fogStatus,
  })
  const silence = { kind: 'silence', first: 30, last: 31, endS: startS + 8_100 } as const
  api.deliver('fog-1', 9, gapItem(), gapItem(silence))
  api.deliver('fog-2', 1, credentialItem(cellar), quarter(0), quarter(1))
}
