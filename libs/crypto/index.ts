/** The primitives of EDHOC suite 4 as one small interface, and its portable implementation. */
export type { AeadKey, AgreementKey, Crypto, SigningKey, VerifyKey } from './interface.ts'
export { nobleCrypto } from './noble.ts'
export { assertLength, isStrictSignature, requireStrictKey } from './strict.ts'
export { checkPublicKey } from './public-key.ts'
