import { describe, expect, test } from 'vitest'
import { status } from '#reading'
import { createFollower, type Telegram } from '#telegram'
import { codeThrown, orRefused } from '../support/coded.ts'

const plain: Telegram = {
  importWh: 1_000,
  exportWh: null,
  importByTariffWh: {},
  exportByTariffWh: {},
  powerW: 230,
  phasePowerW: [230, null, null],
  voltageDv: [2_310, 2_300, null],
  currentMa: [1_000, null, null],
  meterId: 'A',
  timeS: 1,
  powerFailures: 3,
  checked: true,
  codes: ['1-0:1.8.0', '1-0:1.7.0'],
  unread: [],
}

describe('telegrams one after another', () => {
  test('a measurement is what the first phase and the registers show', () => {
    expect(createFollower(null).follow(plain)).toEqual({
      powerW: 230,
      voltageDv: 2_310,
      currentMa: 1_000,
      importWh: 1_000,
      exportWh: null,
    })
  })

  test('without power there is no measurement', () => {
    const { follow } = createFollower(null)
    expect(codeThrown(() => follow({ ...plain, powerW: null }))).toBe('telegram/no-power')
  })

  test('another number is another meter, once; none is no news', () => {
    const { follow, memory } = createFollower(null)
    const replaced = ['A', null, 'A', 'B', 'B', null, 'A'].map(
      (meterId) => follow({ ...plain, meterId }).replaced ?? false,
    )
    expect(replaced).toEqual([false, false, false, true, false, false, true])
    expect(memory().meterId).toBe('A')
  })

  test('it is noticed across a restart', () => {
    const before = createFollower(null)
    before.follow(plain)
    const after = createFollower(before.memory())
    expect(after.follow({ ...plain, meterId: 'B' }).replaced).toBe(true)
  })

  test('without a checksum three telegrams have to agree on it', () => {
    const { follow } = createFollower({ meterId: 'A', powerFailures: null })
    const unchecked = { ...plain, checked: false }
    expect(codeThrown(() => follow(unchecked))).toBe('telegram/unconfirmed')
    // What may be another meter's register is not counted as this one's meanwhile.
    const replaced = ['X', 'A', 'B', 'B', 'A', 'B', 'B', 'B', 'B'].map((meterId) => {
      const followed = orRefused(() => follow({ ...unchecked, meterId }))
      return followed && (followed.replaced ?? false)
    })
    expect(replaced).toEqual([null, false, null, null, false, null, null, true, false])
  })

  test('a meter that sends checksums is not believed without one', () => {
    const { follow } = createFollower(null)
    const bare = { ...plain, checked: false }
    const codes = [plain, bare, bare, bare, plain].map((one) => codeThrown(() => follow(one)))
    const refused = 'telegram/unconfirmed'
    expect(codes).toEqual(['nothing thrown', refused, refused, refused, 'nothing thrown'])
  })

  test('without a checksum a line that comes or goes is not believed at once', () => {
    const { follow } = createFollower(null)
    const seen = (codes: string[]) => codeThrown(() => follow({ ...plain, checked: false, codes }))
    const both = ['1-0:1.8.1', '1-0:1.8.2', '0-0:96.13.0']
    expect(seen(both)).toBe('telegram/unconfirmed')
    expect(seen(both)).toBe('nothing thrown')
    expect(seen(both.slice(0, 2))).toBe('nothing thrown')
    expect(seen(both.slice(0, 1))).toBe('telegram/unconfirmed')
    expect(seen(both)).toBe('telegram/unconfirmed')
    expect(seen(both)).toBe('nothing thrown')
  })

  test('a count of power failures that rose is a flag; that of another meter means nothing', () => {
    const { follow } = createFollower({ meterId: 'A', powerFailures: 2 })
    const flags = (change: Partial<Telegram>) => follow({ ...plain, ...change }).status ?? 0
    expect(flags({})).toBe(status.powerFail)
    expect(flags({})).toBe(0)
    expect(flags({ powerFailures: null })).toBe(0)
    expect(flags({ meterId: 'B', powerFailures: 9 })).toBe(0)
    expect(flags({ meterId: 'B', powerFailures: 10 })).toBe(status.powerFail)
  })
})
