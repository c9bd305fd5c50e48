import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { utf8 } from '#bytes'
import { startBroker, type TestBroker } from '../support/channel-broker.ts'
import { codeThrown, orRefused } from '../support/coded.ts'
import { fromBroker } from '../../apps/meter/mqtt-source.ts'
import { createMqttTable, type MqttSource } from '../../apps/meter/mqtt-table.ts'

type Row = MqttSource['map'][number]
const row = (topic: string, value: Row['value'], unit: Row['unit'], field?: string): Row => ({
  topic,
  value,
  unit,
  ...(field !== undefined && { field }),
})

/** What gadgets say, and how a table reads it. */
const tasmota = [
  row('tele/plug/SENSOR', 'power', 'W', 'ENERGY.Power'),
  row('tele/plug/SENSOR', 'import', 'kWh', 'ENERGY.Total'),
  row('tele/plug/SENSOR', 'voltage', 'V', 'ENERGY.Voltage'),
  row('tele/plug/SENSOR', 'current', 'A', 'ENERGY.Current'),
]
const tasmotaMessage =
  '{"Time":"2026-11-26T12:00:00","ENERGY":{"Total":15.338,"Power":29,"Voltage":229,"Current":0.131}}'

describe('a table', () => {
  test('Tasmota: all in one message', () => {
    const { take } = createMqttTable(tasmota)
    expect(take('tele/plug/SENSOR', utf8(tasmotaMessage), 0)).toEqual({
      powerW: 29,
      importWh: 15_338,
      exportWh: null,
      voltageDv: 2_290,
      currentMa: 131,
    })
    expect(take('tele/other/SENSOR', utf8(tasmotaMessage), 0)).toBeNull()
  })

  test('Shelly: one message a value, registers in watt-minutes, floats as they come', () => {
    const { take } = createMqttTable([
      row('shellies/em/emeter/0/power', 'power', 'W'),
      row('shellies/em/emeter/0/total', 'import', 'Wmin'),
      row('shellies/em/emeter/0/total_returned', 'export', 'Wh'),
      row('shellypro/status/em:0', 'voltage', 'V', 'phases.0.voltage'),
    ])
    expect(take('shellies/em/emeter/0/total', utf8('719'), 0)).toBeNull()
    expect(take('shellies/em/emeter/0/total_returned', utf8(' 7.999 '), 1_000)).toBeNull()
    const phases = utf8('{"phases":[{"voltage":229.60000610351562}]}')
    expect(take('shellypro/status/em:0', phases, 2_000)).toBeNull()
    const power = take('shellies/em/emeter/0/power', utf8('-230.5'), 3_000)
    expect(power).toEqual({
      powerW: -231,
      importWh: 11,
      exportWh: 7,
      voltageDv: 2_296,
      currentMa: null,
    })
    const late = take('shellies/em/emeter/0/power', utf8('1'), 301_500)
    expect(late).toMatchObject({ powerW: 1, importWh: null, exportWh: null, voltageDv: 2_296 })
  })

  test('the first waits for the registers, but not for ever', () => {
    const map = [row('power', 'power', 'W'), row('total', 'import', 'Wh')]
    const { take } = createMqttTable(map)
    expect(take('power', utf8('500'), 0)).toBeNull()
    expect(take('total', utf8('4711'), 1_000)).toBeNull()
    expect(take('power', utf8('501'), 2_000)).toMatchObject({ powerW: 501, importWh: 4_711 })
    const mute = createMqttTable(map)
    expect(mute.take('power', utf8('500'), 0)).toBeNull()
    expect(mute.take('power', utf8('502'), 300_001)).toMatchObject({ powerW: 502, importWh: null })
  })

  test('Home Assistant: states as text; "unavailable" is no number', () => {
    const { take } = createMqttTable([row('homeassistant/sensor/grid/state', 'power', 'kW')])
    expect(take('homeassistant/sensor/grid/state', utf8('1.25'), 0)?.powerW).toBe(1_250)
    const taken = (text: string) =>
      codeThrown(() => take('homeassistant/sensor/grid/state', utf8(text), 0))
    for (const text of ['unavailable', '', '1,25', 'NaN', '0x10', '{"a":1}']) {
      expect([text, taken(text)]).toEqual([text, 'mqtt/bad-value'])
    }
  })

  test.each([
    ['no JSON', 'nothing'],
    ['no such key', '{"ENERGY":{"Power":1}}'],
    ['a key every object has', '{"ENERGY":"constructor"}'],
    ['a list in place of a number', '{"ENERGY":{"Total":[1],"Power":1,"Voltage":1,"Current":1}}'],
    ['a register below zero', '{"ENERGY":{"Total":-1,"Power":1,"Voltage":1,"Current":1}}'],
    ['far too much', '{"ENERGY":{"Total":1e30,"Power":1,"Voltage":1,"Current":1}}'],
  ])('%s: nothing is read', (_, text) => {
    const { take } = createMqttTable(tasmota)
    expect(codeThrown(() => take('tele/plug/SENSOR', utf8(text), 0))).toBe('mqtt/bad-value')
  })

  test('a unit that does not fit its value is refused', () => {
    const { take } = createMqttTable([row('t', 'power', 'W'), row('t', 'import', 'kW')])
    expect(codeThrown(() => take('t', utf8('1'), 0))).toBe('mqtt/bad-value')
  })

  test('any message: integers or a coded error', () => {
    const json = fc.json().map(utf8)
    const number = fc.double().map((value) => utf8(`{"ENERGY":{"Power":${JSON.stringify(value)}}}`))
    const bytes = fc.oneof(json, number, fc.uint8Array({ maxLength: 40 }))
    fc.assert(
      fc.property(bytes, (payload) => {
        const { take } = createMqttTable(tasmota.slice(0, 1))
        const taken = orRefused(() => take('tele/plug/SENSOR', payload, 0))
        expect(taken === null || Number.isSafeInteger(taken.powerW)).toBe(true)
      }),
    )
  })
})

function publish(
  { aedes }: TestBroker,
  topic: string,
  text: string,
  retain = false,
): Promise<void> {
  const payload = Buffer.from(text)
  return new Promise((resolve) => {
    aedes.publish({ cmd: 'publish', topic, payload, qos: 0, retain, dup: false }, () => resolve())
  })
}

describe('a broker', () => {
  test('what is published is a reading; what is retained is not; it is connected again', async () => {
    const first = await startBroker()
    await publish(first, 'power', '666', true)
    const said: string[] = []
    const tell = (data: object) => void said.push(Object.values(data).slice(0, 3).join(' '))
    const stopping = new AbortController()
    const measurements = fromBroker({
      source: {
        kind: 'mqtt',
        url: `mqtt://127.0.0.1:${first.port}`,
        map: [row('power', 'power', 'W')],
        intervalSeconds: 0,
      },
      clock: { now: () => 1_795_000_000_000, monotonic: () => performance.now() },
      time: { known: () => true, boot: { id: 1, ageS: () => 5 } },
      log: { info: tell, warn: tell, debug: tell },
      signal: stopping.signal,
      waits: { firstMs: 10, maxMs: 50 },
    })
    const opened = () => said.filter((text) => text.startsWith('port-open')).length
    const one = measurements.next()
    await expect.poll(opened).toBe(1)
    await publish(first, 'power', 'unavailable')
    await publish(first, 'power', '230')
    expect((await one).value).toMatchObject({ powerW: 230, timeS: 1_795_000_000, ageS: 5 })
    expect(said.join('\n')).toContain('mqtt/bad-value')

    const two = measurements.next()
    await first.kill()
    await expect.poll(() => said.join('\n')).toContain('mqtt-link/disconnected')
    const second = await startBroker({ port: first.port })
    await expect.poll(opened).toBe(2)
    await publish(second, 'power', '-5')
    expect((await two).value).toMatchObject({ powerW: -5 })
    const three = measurements.next()
    stopping.abort()
    expect((await three).done).toBe(true)
    await second.kill()
  })

  test('power alone is the mean by time, also when a gadget says a lot at once', async () => {
    const broker = await startBroker()
    let nowMs = 0
    const stopping = new AbortController()
    const said: string[] = []
    const tell = (data: object) => void said.push(Object.values(data).join(' '))
    const measurements = fromBroker({
      source: {
        kind: 'mqtt',
        url: `mqtt://127.0.0.1:${broker.port}`,
        map: [row('power', 'power', 'W')],
        intervalSeconds: 10,
      },
      clock: { now: () => 1_795_000_000_000, monotonic: () => nowMs },
      time: { known: () => true, boot: { id: 1, ageS: () => nowMs / 1_000 } },
      log: { info: tell, warn: tell, debug: tell },
      signal: stopping.signal,
    })
    const first = measurements.next()
    await expect.poll(() => said.length).toBe(1)
    await publish(broker, 'power', '0')
    expect((await first).value).toMatchObject({ powerW: 0 })
    const second = measurements.next()
    nowMs = 9_000
    for (let i = 0; i < 20; i++) await publish(broker, 'power', '1000')
    await publish(broker, 'power', 'seen')
    await expect.poll(() => said.join()).toContain('mqtt/bad-value')
    nowMs = 10_000
    await publish(broker, 'power', '1000')
    expect((await second).value).toMatchObject({ powerW: 100 })
    stopping.abort()
    await measurements.return()
    await broker.kill()
  })
})
