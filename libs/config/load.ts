import { readFileSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { parse as parseToml, TomlError } from 'smol-toml'
import * as v from 'valibot'
import { CodedError } from '#errors'
import { settle, type Settled } from './camel.ts'
import { describe } from './problems.ts'
import type { TableSchema } from './schema-tree.ts'

/**
 * Reads and checks a configuration file. Everything wrong with it is reported at once, one line a
 * problem. Keys come out in camelCase, relative paths absolute from the file's folder.
 * @throws config/unreadable when there is no such file, config/invalid when it is not right
 */
export function loadConfig<S extends TableSchema>(
  schema: S,
  path: string,
): Settled<v.InferOutput<S>> {
  return parseConfig(schema, readText(path), path)
}

/** The same for text already at hand; `path` names it in messages and anchors relative paths. */
export function parseConfig<S extends TableSchema>(
  schema: S,
  text: string,
  path: string,
): Settled<v.InferOutput<S>> {
  const data = parseText(text, path)
  const result = v.safeParse(schema, data, { abortPipeEarly: true })
  if (result.success) return settle(result.output, dirname(resolve(path)))
  const lines = describe(schema, data, result.issues)
  throw new CodedError('config/invalid', lines.map((line) => `${path}: ${line}`).join('\n'))
}

/** For rules that need more than one key: throws `config/invalid` in the same form. */
export function configProblem(path: string, where: string, sentence: string): CodedError {
  return new CodedError('config/invalid', `${path}: ${where}: ${sentence}`)
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    const reason = reasons[(error as NodeJS.ErrnoException).code ?? ''] ?? 'cannot be read'
    const message = `${path}: ${reason}; give the path of a configuration file (deploy/examples has one for each program)`
    throw new CodedError('config/unreadable', message, { cause: error })
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  EACCES: 'cannot be read by the user that runs this',
  EISDIR: 'is a folder',
}

function parseText(text: string, path: string): unknown {
  try {
    return parseToml(text)
  } catch (error) {
    if (!(error instanceof TomlError)) throw error
    const [what] = error.message.split('\n')
    const message = `${path}: line ${error.line}, column ${error.column}: ${what}`
    throw new CodedError('config/invalid', message, { cause: error })
  }
}
