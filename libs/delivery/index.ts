/**
 * Store and forward: numbered items leave an outbox in order, stay there until the far end has
 * made them durable, and never get stuck behind one that is refused. No input or output of its own.
 */
export { createSender } from './sender.ts'
export type { Sender } from './sender.ts'
export { packItems } from './pack.ts'
export type {
  DeliveryCounters,
  DeliveryEvent,
  Outbox,
  OutboxItem,
  Reply,
  SendItem,
} from './types.ts'
