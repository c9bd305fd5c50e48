/** Puts the files of a package where they will be installed. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { nodeFlags } from '#service'
import { completionScripts } from '../../apps/cli/completion.ts'
import { buildProgram } from '../../apps/cli/program.ts'
import type { Bundle } from './bundle.ts'
import { addSerial } from './serial.ts'
import { copyrightFile } from './copyright.ts'
import { exampleNames, installedExample } from './examples.ts'
import { buildName, createTree, filesBelow, type Tree } from './files.ts'
import { manPage } from './man.ts'
import { nodeFolder, strip, type Architecture } from './runtime.ts'

export interface StageOptions {
  /** The project. */
  root: string
  /** An empty folder. */
  into: string
  architecture: Architecture
  bundle: Bundle
  version: string
  /** Of the commit that is packaged, in seconds since 1970: the date on the manual page. */
  epochS: number
}

const lib = 'usr/lib/fogmeter'
const app = `${lib}/app`
const doc = 'usr/share/doc/fogmeter'

export async function stage(options: StageOptions): Promise<Tree> {
  const tree = createTree(options.into)
  addPrograms(tree, options)
  addRuntime(tree, options)
  addCommands(tree)
  addUnits(tree, options.root)
  addUpdating(tree, options.root)
  addExamples(tree, options.root)
  tree.write(`${lib}/build`, `${buildName(join(tree.root, lib), options.version)}\n`)
  await addDocumentation(tree, options)
  return tree
}

function addPrograms(tree: Tree, { root, bundle, version, architecture }: StageOptions): void {
  for (const [name, code] of bundle.files) tree.write(`${app}/${name}`, code.replace(/^#!.*\n/, ''))
  const about = { name: 'fogmeter', version, type: 'module', private: true }
  tree.write(`${app}/package.json`, `${JSON.stringify(about)}\n`)
  const data = 'household-days.txt.gz'
  tree.copy(join(root, 'libs/household/data', data), `${app}/data/${data}`)
  tree.copy(join(root, 'node_modules/quickjs-wasi/quickjs.wasm'), `${app}/quickjs.wasm`)
  const from = join(root, 'node_modules/better-sqlite3')
  const to = `${app}/node_modules/better-sqlite3`
  const prebuilt = `linux-${architecture.node}`
  const ours = new RegExp(`^(package\\.json|lib/.*|prebuilds/${prebuilt}\\.node)$`)
  const others = /^lib\/(linuxmusl|darwin|win32|linux)-/
  for (const file of filesBelow(from)) {
    if (ours.test(file) && !others.test(file)) tree.copy(join(from, file), `${to}/${file}`)
  }
  strip(join(tree.root, to, 'prebuilds', `${prebuilt}.node`), architecture)
  const sodium = `${app}/node_modules/sodium-native/sodium-native.node`
  const builds = join(root, 'node_modules/sodium-native/prebuilds')
  tree.copy(join(builds, prebuilt, 'sodium-native.node'), sodium)
  strip(join(tree.root, sodium), architecture)
  const serial = addSerial(tree, root, app, architecture.node)
  strip(join(tree.root, serial), architecture)
}

function addRuntime(tree: Tree, { root, architecture }: StageOptions): void {
  const node = `${lib}/node`
  tree.copy(join(nodeFolder(root, architecture), 'bin/node'), node, 0o755)
  strip(join(tree.root, node), architecture)
}

function addCommands(tree: Tree): void {
  // The version that runs, or what came with the machine: see deploy/update/versions.
  const start = (file: string, flags: readonly string[] = []) =>
    `#!/bin/sh
at=$(readlink -f /var/lib/fogmeter-versions/current)
[ -x "$at/node" ] || at=/${lib}
exec ${['"$at/node"', ...flags, `"$at/app/${file}"`].join(' ')} "$@"
`
  tree.write('usr/bin/fogmeter', start('fogmeter.js', nodeFlags), 0o755)
  tree.write(`${lib}/run-unit`, start('run-unit.js'), 0o755)
  tree.write('usr/share/bash-completion/completions/fogmeter', completionScripts.bash)
  tree.write('usr/share/zsh/vendor-completions/_fogmeter', completionScripts.zsh)
  tree.write('usr/share/fish/vendor_completions.d/fogmeter.fish', completionScripts.fish)
}

function addUnits(tree: Tree, root: string): void {
  const from = join(root, 'deploy/systemd')
  for (const file of filesBelow(from)) {
    if (file.endsWith('.service')) tree.copy(join(from, file), `usr/lib/systemd/system/${file}`)
  }
  // There before any program starts: what does not exist cannot be hidden from the broker.
  tree.folder('var/lib/fogmeter')
  tree.copy(join(from, 'fogmeter.sysusers'), 'usr/lib/sysusers.d/fogmeter.conf')
}

/** What puts a newer version in the place of this one, and takes it back. */
function addUpdating(tree: Tree, root: string): void {
  const from = join(root, 'deploy/update')
  for (const file of filesBelow(from)) {
    if (/\.(service|timer)$/.test(file))
      tree.copy(join(from, file), `usr/lib/systemd/system/${file}`)
    else tree.copy(join(from, file), `${lib}/${file}`, 0o755)
  }
}

function addExamples(tree: Tree, root: string): void {
  tree.folder('etc/fogmeter/keys', 0o700)
  for (const name of exampleNames) {
    const folder = name === 'meter' ? 'etc/fogmeter/meters' : 'etc/fogmeter'
    tree.write(`${folder}/${name}.toml.example`, installedExample(root, name))
  }
}

async function addDocumentation(tree: Tree, options: StageOptions): Promise<void> {
  const { root, architecture, bundle, version, epochS } = options
  const date = new Date(epochS * 1_000).toISOString().slice(0, 10)
  const program = await buildProgram({ queries: true })
  tree.zip('usr/share/man/man1/fogmeter.1.gz', manPage(program, { version, date }))
  const debian = join(root, 'deploy/package/debian')
  tree.zip(`${doc}/changelog.gz`, readFileSync(join(debian, 'changelog'), 'utf8'))
  const node = nodeFolder(root, architecture)
  tree.write(`${doc}/copyright`, copyrightFile(root, bundle.packages, node))
  tree.copy(join(debian, 'lintian-overrides'), 'usr/share/lintian/overrides/fogmeter')
}
