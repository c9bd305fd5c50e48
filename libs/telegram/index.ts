/** What telegrams of meters have in common whatever their format: values under OBIS codes. README.md. */
export { crc16Arc, crc16Kermit, crc16Modbus, crc16X25 } from './crc16.ts'
export { parseDecimal, shownIn } from './decimal.ts'
export { createFollower, type FollowMemory } from './follow.ts'
export { collect, isValueCode } from './values.ts'
export { whole, type Exact, type Quantity } from './quantity.ts'
export type { Frame, Phases, Shown, Telegram, Unread } from './types.ts'
