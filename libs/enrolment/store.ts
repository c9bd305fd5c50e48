/** What the cloud keeps of enrolments. Strangers write nothing here: only what somebody approved. */

/** Somebody said in advance that a key may have a name: by a token, or by the key's own code. */
export interface Approval {
  /** Public half of the token's key (32 bytes), or the fingerprint of the device's key (11). */
  id: Uint8Array
  name: string
  /** Seconds since 1970: unused, it counts until then. */
  expiresS: number
  /** Earlier credentials of that name are revoked. */
  replace: boolean
  /** The device's key that used it, or null. */
  usedBy: Uint8Array | null
}

/** A key with an approved name, and its credential once the authority has signed it. */
export interface Enrolment {
  publicKey: Uint8Array
  name: string
  replace: boolean
  acceptedS: number
  credential: Uint8Array | null
}

/** Every method is durable when it returns. */
export interface EnrolmentStore {
  approval(id: Uint8Array): Approval | null
  /** Takes the place of the same one, and of unused ones for the same name. */
  saveApproval(approval: Approval): void
  enrolment(publicKey: Uint8Array): Enrolment | null
  /** Both or neither: `approvalId` is used by this key, and the key is accepted. */
  accept(approvalId: Uint8Array, enrolment: Enrolment): void
  saveCredential(publicKey: Uint8Array, credential: Uint8Array): void
  /** Newest first. */
  enrolments(limit: number): Enrolment[]
}
