/** The image's bill of materials: that of Fogmeter's package, and the Debian packages beside it. */
import { billOfMaterials } from '../deploy/package/sbom.ts'

/** One line of `dpkg-query`, see root.sh. */
interface DebianPackage {
  name: string
  version: string
  architecture: string
  source: string
  sourceVersion: string
}

export function parsePackages(text: string): DebianPackage[] {
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [name = '', version = '', architecture = '', source = '', sourceVersion = ''] =
        line.split('\t')
      return { name, version, architecture, source, sourceVersion }
    })
}

/** CycloneDX; Debian packages by their purl, with the source package that security advisories name. */
export function imageBill(root: string, packages: readonly DebianPackage[], suite: string): string {
  const bill = JSON.parse(billOfMaterials(root)) as {
    metadata: { component: { name: string } }
    components: object[]
  }
  bill.metadata.component.name = 'fogmeter-pi-image'
  const debian = packages.filter(({ name }) => name !== 'fogmeter')
  bill.components.push(...debian.map((entry) => component(entry, suite)))
  return `${JSON.stringify(bill, null, 2)}\n`
}

function component(entry: DebianPackage, suite: string): object {
  const { name, version, architecture, source, sourceVersion } = entry
  const at = encodeURIComponent(version)
  const purl = `pkg:deb/debian/${encodeURIComponent(name)}@${at}?arch=${architecture}&distro=debian-${suite}`
  return {
    'bom-ref': purl,
    type: 'library',
    name,
    version,
    purl,
    properties: [{ name: 'debian:source', value: `${source} ${sourceVersion}` }],
  }
}
