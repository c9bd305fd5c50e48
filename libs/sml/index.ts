/** Smart Message Language, as German electricity meters push it over their optical port. README.md. */
export { parseSml, type SmlTelegram } from './file.ts'
export { createSmlFramer } from './frame.ts'
