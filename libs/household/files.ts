/** Reading files, the only part of this library that needs Node. */
import { createReadStream } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { createGunzip, gunzip } from 'node:zlib'
import { CodedError } from '#errors'
import { parseCsvHeader, parseCsvLine, type CsvHeader } from './csv.ts'
import { parseExcerpt, type ExcerptDay } from './excerpt.ts'
import type { SourceReading } from './sample.ts'

const EXCERPT = new URL('./data/household-days.txt.gz', import.meta.url)

/** The days of real household data that come with the project (CC BY 4.0, data/ATTRIBUTION.md). */
export async function loadExcerpt(): Promise<ExcerptDay[]> {
  const packed = await readFile(EXCERPT)
  return parseExcerpt((await promisify(gunzip)(packed)).toString('utf8'))
}

/**
 * The readings of a CSV file (gzipped if its name ends in .gz), one at a time, gaps left out.
 * Throws `household/no-file`, `household/bad-header`, `household/bad-value` or, where time goes back,
 * `household/out-of-order`: power over a time that comes twice would count twice.
 */
export async function* readCsv(path: string): AsyncGenerator<SourceReading, void> {
  let header: CsvHeader | null = null
  let lineNumber = 0
  let newestS = 0
  try {
    for await (const line of linesOf(path)) {
      lineNumber++
      if (header === null) header = parseCsvHeader(line)
      else {
        const reading = parseCsvLine(header, line, lineNumber)
        if (reading === null) continue
        const timeS = reading.timeS ?? newestS
        if (timeS < newestS) throw outOfOrder(lineNumber)
        newestS = timeS
        yield reading
      }
    }
  } catch (error) {
    throw fileError(path, error)
  }
  if (header === null) throw new CodedError('household/bad-header', `${path} is empty`)
}

function outOfOrder(lineNumber: number): CodedError {
  return new CodedError(
    'household/out-of-order',
    `line ${lineNumber}: its time is before that of the line above it; sort the file by time, and give ` +
      'the times with their zone where its clock was set back in autumn',
  )
}

/** What is wrong in a file is said with the file's name; what is wrong with the file, with a cure. */
function fileError(path: string, cause: unknown): CodedError {
  if (cause instanceof CodedError)
    return new CodedError(cause.code, `${path}, ${cause.message}`, { cause })
  const reason = cause instanceof Error ? cause.message : String(cause)
  const message = `cannot read ${path}: ${reason}; check source.file, or --source csv:FILE`
  return new CodedError('household/no-file', message, { cause })
}

async function* linesOf(path: string): AsyncGenerator<string, void> {
  const file = createReadStream(path)
  const input = path.endsWith('.gz') ? file.pipe(createGunzip()) : file
  // pipe() hands no errors on; without this a missing .gz file would hang the reader.
  if (input !== file) file.on('error', (error) => input.destroy(error))
  try {
    yield* createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })
  } finally {
    file.destroy()
  }
}
