/** From responder (fog, cloud) to initiator (meter, fog). */
export type Down =
  /** Answer to `hello`: everything up to `durable` is stored here. */
  | { type: 'welcome'; durable: number }
  | { type: 'receipt'; durable: number }
  /** `first`..`last` will never be accepted; `code` says why. Do not send them again. */
  | { type: 'refused'; first: number; last: number; code: string }
  /** Send again, starting with number `from`. */
  | { type: 'resend'; from: number }
  /** A signed revocation list (#credential). */
  | { type: 'revocations'; list: Uint8Array }
