/**
 * Checks the dependency order: a library imports only libraries named before it in `layers`,
 * libraries never import apps, and the portable ones import neither Node nor its packages; neither
 * does what runs on a chip, wherever it is (portable.ts).
 * The same order stands in the README for people.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { importsOf, isPortablePackage, type Import } from './imports.ts'
import { portableProblems } from './portable.ts'

/** Low to high. `node: true` marks a library that may use Node and native packages. */
const layers: readonly { name: string; node?: true }[] = [
  { name: 'errors' },
  { name: 'ports' },
  { name: 'defaults' },
  { name: 'bytes' },
  { name: 'cbor' },
  { name: 'crypto' },
  { name: 'crypto-node', node: true },
  { name: 'crypto-native', node: true },
  { name: 'crypto-small' },
  { name: 'cose' },
  { name: 'credential' },
  { name: 'identity', node: true },
  { name: 'enrolment' },
  { name: 'edhoc' },
  { name: 'record' },
  { name: 'reading' },
  { name: 'messages' },
  { name: 'household', node: true },
  { name: 'channel' },
  { name: 'delivery' },
  { name: 'window' },
  { name: 'meter' },
  { name: 'flash-store' },
  { name: 'telegram' },
  { name: 'p1' },
  { name: 'sml' },
  { name: 'modbus' },
  { name: 'fog' },
  { name: 'cloud' },
  { name: 'sqlite', node: true },
  { name: 'meter-store', node: true },
  { name: 'fog-store', node: true },
  { name: 'cloud-store', node: true },
  { name: 'mdns', node: true },
  { name: 'broker', node: true },
  { name: 'mqtt-link', node: true },
  { name: 'config', node: true },
  { name: 'service', node: true },
]

const order = new Map(layers.map((layer, index) => [layer.name, index]))
const problems: string[] = []
let checked = 0

function sources(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
}

function checkImport(library: { name: string; node?: true }, { file, target }: Import): void {
  checked += 1
  if (target.startsWith('.')) {
    const escapes = !join(file, '..', target).startsWith(join('libs', library.name))
    if (escapes) problems.push(`${file}: ${target} leaves its library; import it as #name`)
    return
  }
  if (target.startsWith('#')) {
    const rank = order.get(target.slice(1))
    if (rank === undefined) problems.push(`${file}: ${target} is not in the list of layers`)
    else if (rank >= (order.get(library.name) ?? 0))
      problems.push(`${file}: ${library.name} may not import ${target}, which stands above it`)
    else if (layers[rank]?.node && !library.node)
      problems.push(`${file}: ${library.name} is portable and may not import ${target}`)
    return
  }
  // Word lists are for whoever can afford them, which a chip cannot.
  const portable = isPortablePackage(target) || target.startsWith('@scure/')
  if (!library.node && !portable)
    problems.push(`${file}: ${library.name} is portable and may not import ${target}`)
}

for (const folder of readdirSync('libs')) {
  if (!order.has(folder)) problems.push(`libs/${folder}: not in the list of layers`)
}
for (const library of layers) {
  for (const file of sources(join('libs', library.name))) {
    for (const found of importsOf(file)) checkImport(library, found)
  }
}

const firmware = portableProblems('.')
problems.push(...firmware.problems)

if (checked === 0) problems.push('no import was checked: the pattern or the folder is wrong')
for (const problem of problems) console.error(problem)
const walked = `${firmware.checked} files of the firmware`
console.log(`layers: ${checked} imports, ${walked} checked, ${problems.length} problems`)
process.exitCode = problems.length === 0 ? 0 : 1
