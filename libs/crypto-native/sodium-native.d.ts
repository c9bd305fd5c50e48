/** What we call of sodium-native, by libsodium's own names. It throws where libsodium reports failure. */
declare module 'sodium-native' {
  interface Sodium {
    crypto_sign_seed_keypair(publicKey: Uint8Array, secretKey: Uint8Array, seed: Uint8Array): void
    crypto_sign_detached(signature: Uint8Array, message: Uint8Array, secretKey: Uint8Array): void
    crypto_sign_verify_detached(
      signature: Uint8Array,
      message: Uint8Array,
      publicKey: Uint8Array,
    ): boolean
    crypto_scalarmult_base(publicKey: Uint8Array, secret: Uint8Array): void
    crypto_scalarmult(shared: Uint8Array, secret: Uint8Array, publicKey: Uint8Array): void
  }
  const sodium: Sodium
  export default sodium
}
