/**
 * npm run package [-- --arch arm64|amd64] [-- --verify]
 *
 * Makes dist/fogmeter_VERSION_ARCH.deb for both architectures, or one, and the bill of materials
 * (CycloneDX) beside them. With --verify each is made twice,
 * in two folders, and must come out the same to the bit. Needs dpkg-deb (any Debian or Ubuntu).
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import packageFile from '../../package.json' with { type: 'json' }
import { bundle } from './bundle.ts'
import { makeDeb } from './deb.ts'
import { architectures, type Architecture } from './runtime.ts'
import { billOfMaterials } from './sbom.ts'
import { stage } from './stage.ts'

const root = join(import.meta.dirname, '../..')
const { version } = packageFile

/** Time stamps of everything inside: those of the commit, so that a build next year is the same. */
function epochS(): number {
  const given = process.env['SOURCE_DATE_EPOCH']
  if (given !== undefined) return Number(given)
  return Number(execFileSync('git', ['log', '-1', '--format=%ct'], { cwd: root }))
}

async function build(architecture: Architecture, out: string): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'fogmeter-package-'))
  try {
    const name = `fogmeter_${version}_${architecture.debian}.deb`
    const path = join(out, name)
    const common = { root, version, epochS: epochS() }
    const into = join(folder, 'root')
    mkdirSync(into)
    const tree = await stage({ ...common, into, architecture, bundle: await bundle(root) })
    makeDeb(tree, { ...common, architecture: architecture.debian, out: path })
    return path
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function verify(architecture: Architecture, first: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'fogmeter-again-'))
  try {
    const second = await build(architecture, folder)
    if (sha256(first) !== sha256(second))
      throw new Error(`${first} came out differently the second time`)
    process.stderr.write('the second build is the same to the bit\n')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function sha256(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}

const { values } = parseArgs({ options: { arch: { type: 'string' }, verify: { type: 'boolean' } } })
const wanted = architectures.filter(({ debian }) => (values.arch ?? debian) === debian)
if (wanted.length === 0) throw new Error(`--arch is arm64 or amd64, not ${values.arch}`)
mkdirSync(join(root, 'dist'), { recursive: true })
writeFileSync(join(root, `dist/fogmeter_${version}.cdx.json`), billOfMaterials(root))
for (const architecture of wanted) {
  const path = await build(architecture, join(root, 'dist'))
  process.stdout.write(`${sha256(path)}  ${path.slice(root.length + 1)}\n`)
  if (values.verify) await verify(architecture, path)
}
