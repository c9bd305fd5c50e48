import type { OutboxItem } from '#delivery'
import type { Database } from '#sqlite'
import type { RefusedBlock } from './store.ts'

/** Blocks held, how many of them without readings, and the lowest number of the oldest. */
export interface Held {
  count: number
  thin: number
  oldest: number | null
}

/** Every statement of the store; parameters are in the order of the question marks. */
export function prepareStatements(database: Database) {
  return {
    addMeter: database.prepare('INSERT INTO meter (device) VALUES (?) ON CONFLICT DO NOTHING'),
    meterId: database.prepare<{ id: number }>('SELECT id FROM meter WHERE device = ?'),
    loadMeter: database.prepare<{ head: Uint8Array | null; accounted: number; next: number }>(
      'SELECT head, accounted, next FROM meter WHERE id = ?',
    ),
    setHead: database.prepare('UPDATE meter SET head = ?, accounted = ?, next = ? WHERE id = ?'),
    openReadings: database.prepare<{ id: number; record: Uint8Array }>(
      'SELECT id, record FROM reading WHERE meter = ? AND number > ? ORDER BY id',
    ),
    // Above the newest reading, signed or not, whatever `next` says: it lags behind open readings.
    leaveOut: database.prepare(
      'UPDATE meter SET next = ? + max(next, accounted + 1, ' +
        'coalesce((SELECT max(number) + 1 FROM reading WHERE reading.meter = meter.id), 1))',
    ),
    countOpen: database.prepare<{ count: number }>(
      'SELECT count(*) AS count FROM reading JOIN meter ON meter.id = meter WHERE number > accounted',
    ),
    addReading: database.prepare('INSERT INTO reading (meter, number, record) VALUES (?, ?, ?)'),
    deleteReadings: database.prepare('DELETE FROM reading WHERE id < ?'),
    addBlock: database.prepare('INSERT INTO block (meter, first, last, body) VALUES (?, ?, ?, ?)'),
    held: database.prepare<Held>(
      'SELECT count(*) AS count, total(thin) AS thin, min(first) AS oldest FROM block ' +
        'WHERE meter = ? AND last > ?',
    ),
    countBetween: database.prepare<Omit<Held, 'oldest'>>(
      'SELECT count(*) AS count, total(thin) AS thin FROM block ' +
        'WHERE meter = ? AND last > ? AND last <= ?',
    ),
    oldestWhole: database.prepare<OutboxItem>(
      'SELECT first, last, body FROM block WHERE meter = ? AND last > ? AND thin = 0 ' +
        'ORDER BY last LIMIT 1',
    ),
    thin: database.prepare('UPDATE block SET body = ?, thin = 1 WHERE meter = ? AND last = ?'),
    oldestAfter: database.prepare<{ first: number }>(
      'SELECT first FROM block WHERE meter = ? AND last > ? ORDER BY last LIMIT 1',
    ),
    oldestOpenRows: database.prepare<{ meter: number; id: number }>(
      'SELECT meter, min(reading.id) AS id FROM reading JOIN meter ON meter.id = reading.meter ' +
        'WHERE number > accounted GROUP BY meter',
    ),
    read: database.prepare<OutboxItem>(
      'SELECT first, last, body FROM block WHERE meter = ? AND last >= ? ORDER BY last LIMIT ?',
    ),
    deleteThrough: database.prepare('DELETE FROM block WHERE meter = ? AND last <= ?'),
    moveRefused: database.prepare(
      'INSERT INTO refused (meter, first, last, code, body) ' +
        'SELECT meter, first, last, ?, body FROM block WHERE meter = ? AND last = ? AND first = ?',
    ),
    deleteOne: database.prepare('DELETE FROM block WHERE meter = ? AND last = ? AND first = ?'),
    trimRefused: database.prepare(
      'DELETE FROM refused WHERE id <= (SELECT max(id) FROM refused) - ?',
    ),
    noteOf: database.prepare<{ value: Uint8Array }>('SELECT value FROM note WHERE name = ?'),
    setNote: database.prepare(
      'INSERT INTO note (name, value) VALUES (?, ?) ' +
        'ON CONFLICT (name) DO UPDATE SET value = excluded.value',
    ),
    refusedOf: database.prepare<RefusedBlock>(
      'SELECT first, last, code FROM refused WHERE meter = (SELECT id FROM meter WHERE device = ?) ' +
        'ORDER BY id DESC LIMIT ?',
    ),
  }
}

export type Statements = ReturnType<typeof prepareStatements>
