/** Measures as fast as it can into the store named on the command line; prints each stored number. */
import { nodeCrypto } from '#crypto-node'
import { createMeter, meterDefaults } from '#meter'
import { openMeterStore } from '#meter-store'

const file = openMeterStore(process.argv[2] ?? '')
const meter = createMeter({
  crypto: nodeCrypto,
  key: nodeCrypto.signingKey(new Uint8Array(32).fill(9)),
  deviceId: 'a',
  clock: { now: () => 0, monotonic: () => 0 },
  store: file.meter('a'),
  settings: { ...meterDefaults, mode: 'block', maxReadings: 4 },
})

for (let i = 0; i < 100_000; i++) {
  meter.measure({ timeS: 1_800_000_001 + i, powerW: i })
  process.stdout.write(`${meter.status().newestNumber}\n`)
}
