import { execFileSync } from 'node:child_process'

interface CycloneDx {
  serialNumber?: string
  metadata: { timestamp?: string; component: { name: string } }
}

/** Everything the programs are built from, by the lock file, as CycloneDX; the same text each time. */
export function billOfMaterials(root: string): string {
  const args = ['sbom', '--sbom-format', 'cyclonedx', '--package-lock-only', '--omit', 'dev']
  const options = { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 26 } as const
  const bill = JSON.parse(execFileSync('npm', args, options)) as CycloneDx
  delete bill.serialNumber
  delete bill.metadata.timestamp
  bill.metadata.component.name = 'fogmeter' // npm says the name of the folder
  return `${JSON.stringify(bill, null, 2)}\n`
}
