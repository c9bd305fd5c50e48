import type { Broker, BrokerCounters } from '#broker'
import type { Metrics } from '#service'

/** Shows the broker's counters to Prometheus. No addresses and no channel ids. */
export function describeBroker(metrics: Metrics, broker: Broker): void {
  const gauge = (name: string, help: string, key: 'connections' | 'waiting' | 'agents') =>
    metrics.gauge(`broker_${name}`, help, () => broker.counters()[key])
  gauge('connections', 'Network connections open.', 'connections')
  gauge('connections_waiting', 'Of these, without a finished handshake.', 'waiting')
  gauge('agents', 'Local connections that receive what goes up.', 'agents')

  metrics.totals('broker_events_total', 'What happened, by kind.', 'event', () =>
    events(broker.counters()),
  )
  metrics.totals('broker_messages_total', 'Messages accepted, by way.', 'way', () => {
    const { messagesUp, messagesDown } = broker.counters()
    return [
      ['up', messagesUp],
      ['down', messagesDown],
    ]
  })
  const help = 'Connections refused or ended by a rule, by reason.'
  metrics.totals('broker_refused_total', help, 'reason', () => broker.counters().refused)
}

function events(counters: BrokerCounters): [string, number][] {
  const { accepted, admitted, throttled, withheld } = counters
  return Object.entries({ accepted, admitted, throttled, withheld })
}
