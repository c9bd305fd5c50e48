import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { Writable } from 'node:stream'
import { CodedError } from '#errors'

/**
 * One line that must not stand on a command line: from a file (`-` is standard input), or asked for
 * without showing it. @throws cli/no-file, cli/usage when there is nobody to ask
 */
export async function readSecret(file: string | undefined, question: string): Promise<string> {
  if (file !== undefined) return firstLine(readFile(file))
  if (!process.stdin.isTTY)
    throw new CodedError('cli/usage', `${question}: name a file, or "-" for standard input`)
  return askHidden(question)
}

function readFile(file: string): string {
  try {
    return readFileSync(file === '-' ? 0 : file, 'utf8')
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code
    throw new CodedError('cli/no-file', `${file} cannot be read (${reason})`, { cause: error })
  }
}

function firstLine(text: string): string {
  return text.split(/\r?\n/, 1)[0] ?? ''
}

async function askHidden(question: string): Promise<string> {
  process.stderr.write(`${question}: `)
  const mute = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output: mute, terminal: true })
  try {
    return await new Promise((resolve) => lines.question('', resolve))
  } finally {
    lines.close()
    process.stderr.write('\n')
  }
}
