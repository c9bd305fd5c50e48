/** COSE, RFC 9052: the one signature and the one encryption structure Fogmeter uses. See README.md. */
export {
  decodeSign1,
  sigStructure,
  signSign1,
  verifyDecoded,
  verifySign1,
  type Sign1,
} from './sign1.ts'
export { decryptEncrypt0, encryptEncrypt0, encStructure } from './encrypt0.ts'
