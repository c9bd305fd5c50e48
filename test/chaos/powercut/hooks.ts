/**
 * Loaded before a program (`node --import`), for the power cut campaign alone. It adds marks to the
 * places where the program tells somebody that something is kept: one line in a file just before,
 * which shows in the trace of system calls. With FOGMETER_POWERCUT_NORMAL the stores commit at
 * synchronous=NORMAL behind the program's back, for the campaign to show that it notices.
 */
import { openSync, writeSync } from 'node:fs'
import { registerHooks } from 'node:module'
import { isMainThread } from 'node:worker_threads'

interface Change {
  file: string
  before: string
  after: string
}

const mark = (words: string) => `globalThis.powercutMark?.(${words})\n`

const marks: Change[] = [
  // The agent to a meter.
  after(
    'libs/fog/core.ts',
    'export function reply(core: Core, meter: Meter, message: Down): void {\n',
    `if ('durable' in message) ${mark('`receipt ${meter.deviceId} ${message.durable}`')}`,
  ),
  // The cloud to a fog node.
  after(
    'libs/cloud/cloud.ts',
    'for (const { cid, message } of result.answers) {\n',
    `if ('durable' in message) ${mark('`receipt ${state.sessions.get(cid)?.peer.deviceId} ${message.durable}`')}`,
  ),
  // The agent to the cloud, of what is in its outbox; and what the far end has receipted.
  after(
    'libs/delivery/sender.ts',
    'function markSent(item: OutboxItem): SendItem {\n',
    mark('`sent ${item.last}`'),
  ),
  after(
    'libs/delivery/sender.ts',
    'if (!news) return // a repeated receipt is no sign of progress\n',
    mark('`dropped ${durable}`'),
  ),
  // A meter, of anything at all: its newest reading, and the newest one under a signature.
  after(
    'apps/meter/unit.ts',
    'send(payloads) {\n',
    `if (payloads.length > 0) ${mark('`left ${meter.status().newestNumber} ${meter.status().sealedThrough}`')}`,
  ),
]

/** So that a short recording has checkpoints and WAL restarts in it, which take minutes otherwise. */
const hurry: Change[] = [
  swap(
    'libs/fog-store/schema.ts',
    'const autocheckpointPages = 4_096',
    'const autocheckpointPages = 64',
  ),
  swap(
    'libs/meter-store/store.ts',
    'openDatabase(path, { migrations, owner })',
    'openDatabase(path, { migrations, owner, autocheckpointPages: 16 })',
  ),
  swap(
    'libs/cloud-store/open.ts',
    'openDatabase(path, { migrations, owner: { ...owner, device } })',
    'openDatabase(path, { migrations, owner: { ...owner, device }, autocheckpointPages: 32 })',
  ),
  swap('apps/agent/node.ts', 'const shrinkMs = 600_000', 'const shrinkMs = 1_700'),
  swap('apps/cloud/run.ts', 'const CHECKPOINT_MS = 60_000', 'const CHECKPOINT_MS = 1_900'),
]

const normal = after(
  'libs/sqlite/open.ts',
  '  assertDurable(path, handle)\n',
  "  handle.pragma('synchronous = NORMAL')\n",
)

function after(file: string, place: string, added: string): Change {
  return { file, before: place, after: place + added }
}

function swap(file: string, before: string, replacement: string): Change {
  return { file, before, after: replacement }
}

const { FOGMETER_POWERCUT_MARKS: marksFile, FOGMETER_POWERCUT_NORMAL: unsafe } = process.env
const changes = [...marks, ...hurry, ...(unsafe === undefined ? [] : [normal])]

registerHooks({
  load(url, context, nextLoad) {
    const loaded = nextLoad(url, context)
    const wanted = changes.filter(({ file }) => url.endsWith(`/${file}`))
    if (wanted.length === 0) return loaded
    let source = Buffer.from(loaded.source as Uint8Array).toString()
    for (const change of wanted) {
      if (!source.includes(change.before))
        throw new Error(
          `test/chaos/powercut/hooks.ts: ${change.file} no longer has: ${change.before}`,
        )
      source = source.replace(change.before, () => change.after)
    }
    return { ...loaded, source }
  },
})

if (isMainThread && marksFile !== undefined) {
  const file = openSync(marksFile, 'a')
  Object.assign(globalThis, { powercutMark: (words: string) => writeSync(file, `${words}\n`) })
}
