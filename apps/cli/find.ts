import type { Command } from 'commander'
import { CodedError } from '#errors'
import type { FoundFog } from '#mdns'
import { parseName } from './queries/options.ts'
import { print, printJson, run, say } from './queries/output.ts'
import { renderTable, type Column } from './queries/table.ts'

const columns: readonly Column<FoundFog>[] = [
  { title: 'SAYS IT IS', text: ({ node }) => node },
  { title: 'ADDRESS', text: ({ address }) => address },
  { title: 'PORT', text: ({ port }) => String(port), align: 'right' },
]

/** `fog find`: what answers on this network, without keys and without a cloud. */
export function addFindCommand(fog: Command): void {
  fog
    .command('find')
    .description('fog nodes that say by mDNS that they are on this network')
    .argument('[name]', 'only those of this name; ends as soon as one has answered')
    .option('--json', 'print them as JSON')
    .action((name: string | undefined, flags: { json?: boolean }) =>
      run(() => findNodes(name, flags)),
    )
}

async function findNodes(name: string | undefined, { json }: { json?: boolean }): Promise<void> {
  const { findFogs } = await import('#mdns')
  const wanted = parseName(name, 'NAME')
  const fits = ({ node }: FoundFog) => wanted === undefined || node === wanted
  const all = await findFogs({ enough: (found) => wanted !== undefined && found.some(fits) })
  const found = all.filter(fits)
  if (found.length === 0) throw nobody(wanted)
  if (json) return printJson(found)
  print(renderTable(columns, found))
  say('Anybody can say so: a meter sends nothing before the credential has proved the name.')
}

function nobody(name: string | undefined): CodedError {
  const who = name === undefined ? 'no fog node' : `no fog node "${name}"`
  return new CodedError(
    'mdns/not-found',
    `${who} answers on this network: is it up, on the same network, with [discovery] mdns = true in ` +
      "its broker's configuration, and may UDP port 5353 pass here and there?",
  )
}
