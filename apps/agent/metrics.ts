import { readFileSync } from 'node:fs'
import { systemClock, type Metrics } from '#service'
import type { RunningNode } from './node.ts'
import type { RunningUplink } from './uplink.ts'

/** Everything the agent counts, read at the moment of the scrape. No label names a meter. */
export function addMetrics(
  metrics: Metrics,
  node: RunningNode,
  uplink: RunningUplink | null,
): void {
  addIntake(metrics, node)
  addOutput(metrics, node, uplink)
  addStorage(metrics, node)
}

function addIntake(metrics: Metrics, { fog, responder, pool }: RunningNode): void {
  const total = totalOf(metrics)
  const c = () => fog.counters()
  total('messages_total', 'Messages from meters.', () => c().messages)
  total('live_readings_total', 'Live readings received.', () => c().live)
  total('readings_total', 'Readings under a good signature, durable.', () => c().readings)
  total('blocks_total', 'Signed blocks, durable.', () => c().blocks)
  total('readings_given_up_total', 'Readings a meter had no room for.', () => c().readingsGivenUp)
  total('signatures_good_total', 'Block signatures found good.', () => c().verified)
  total('repeated_blocks_total', 'Blocks that came again.', () => c().repeats)
  metrics.totals('agent_refused_total', 'Messages and blocks not accepted.', 'reason', () =>
    Object.entries(c().refused),
  )
  const r = () => responder.counters()
  total('handshakes_total', 'Handshakes completed.', () => r().handshakes)
  total('records_opened_total', 'Records opened.', () => r().opened)
  metrics.totals('agent_records_refused_total', 'Records refused.', 'reason', () =>
    Object.entries(r().refused),
  )
  metrics.totals('agent_handshakes_refused_total', 'Handshakes refused.', 'reason', () =>
    Object.entries(r().handshakesRefused),
  )
  metrics.gauge('agent_meters_known', 'Meters ever seen.', () => fog.status().metersKnown)
  metrics.gauge('agent_meters_online', 'Meters in session.', () => fog.status().metersOnline)
  metrics.gauge('agent_readings_without_time', 'Durable readings that wait for their time.', () =>
    fog.waitingReadings(),
  )
  metrics.gauge('agent_blocks_in_flight', 'Blocks not committed yet.', () => fog.inFlight())
  if (pool) {
    metrics.gauge('agent_signatures_waiting', 'Signatures to check.', () => pool.waiting())
    total('verifier_restarts_total', 'Verifying threads replaced.', () => pool.replaced())
  }
}

function addOutput(
  metrics: Metrics,
  { fog, store }: RunningNode,
  uplink: RunningUplink | null,
): void {
  const total = totalOf(metrics)
  const c = () => fog.counters()
  total('windows_closed_total', 'Windows summed up for the first time.', () => c().summaries)
  total('window_revisions_total', 'Later revisions of windows.', () => c().revisions)
  total('registers_total', 'Signed registers put into the outbox.', () => c().registers)
  total('events_total', 'Events put into the outbox.', () => c().events)
  total('revocation_lists_sent_total', 'Lists passed on to meters.', () => c().listsSent)
  metrics.gauge('agent_windows_open', 'Windows open.', () => fog.openWindows())
  metrics.gauge('agent_outbox_items', 'Items not receipted yet.', () => store.backlog().items)
  metrics.totals('agent_outbox_given_up_total', 'Items there was no room for.', 'type', () =>
    Object.entries(store.backlog().givenUp),
  )
  metrics.totals('agent_outbox_damaged_total', 'Items damaged on disk.', 'outcome', () => {
    const { madeAgain, lost } = c().damagedItems
    return [
      ['made_again', madeAgain],
      ['lost', lost],
    ]
  })
  total('refused_items_forgotten_total', 'Refused items that are no longer kept.', () =>
    store.refusedForgotten(),
  )
  metrics.gauge('agent_outbox_full', '1 while not even registers fit.', () =>
    Number(store.backlog().full),
  )
  metrics.gauge('agent_outbox_oldest_seconds', 'Age of the oldest of them.', () => {
    const { oldestS } = store.backlog()
    return oldestS === null ? 0 : Math.max(0, systemClock.now() / 1000 - oldestS)
  })
  if (!uplink) return
  metrics.gauge('agent_cloud_connected', '1 while a cloud node answers.', () =>
    uplink.state() === 'open' ? 1 : 0,
  )
  total('items_sent_total', 'Items sent.', () => uplink.counters().itemsSent)
  total('items_resent_total', 'Items sent again.', () => uplink.counters().itemsResent)
  total('items_refused_total', 'Items the cloud refused.', () => uplink.counters().itemsRefused)
}

function addStorage(metrics: Metrics, { fog, store }: RunningNode): void {
  const total = totalOf(metrics)
  const c = () => fog.counters()
  total('commits_total', 'Commits on disk.', () => c().commits)
  total('commit_failures_total', 'Commits that failed.', () => c().commitFailures)
  total('commit_seconds_total', 'Time spent in commits.', () => c().commitMs / 1000)
  total('checkpoints_total', 'Checkpoints on disk.', () => c().checkpoints)
  metrics.gauge('agent_store_bytes', 'Size of the store.', () => store.sizeBytes())
  if (writtenBytes() === null) return
  total('written_bytes_total', 'Bytes this process had written to disk.', () => writtenBytes() ?? 0)
}

function totalOf(metrics: Metrics) {
  return (name: string, help: string, read: () => number): void =>
    metrics.total(`agent_${name}`, help, read)
}

/** proc(5): what wears a memory card. Null where there is no such file. */
function writtenBytes(): number | null {
  try {
    const found = /^write_bytes: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))
    return found === null ? null : Number(found[1])
  } catch {
    return null
  }
}
