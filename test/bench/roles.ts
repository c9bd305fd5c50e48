/** What the helper processes of a measurement can be asked for. */
import { Core, Pools } from './core.ts'
import { handshakesOf, type Kind } from './handshakes.ts'
import { Fleet, type Load } from './fleet.ts'
import { Publishers, startAedes, type Target } from './publishers.ts'
import { systemClock } from '#service'
import { serve } from './worker.ts'

export function serveRole(role: string): void {
  const start = roles[role]
  if (start === undefined) throw new Error(`no role ${role}`)
  start()
}

const roles: Record<string, () => void> = {
  fleet: serveFleet,
  core: serveCore,
  publishers: servePublishers,
  handshakes: serveHandshakes,
  aedes: () =>
    serve({
      listen: async ({ socket }: { socket: string }) => ({ port: await startAedes(socket) }),
    }),
}

/** How long it took, in ms. */
async function timed(work: Promise<void>): Promise<{ ms: number }> {
  const before = systemClock.monotonic()
  await work
  return { ms: systemClock.monotonic() - before }
}

function serveHandshakes(): void {
  let run: ((count: number) => Promise<number>) | null = null
  serve({
    prepare: (kind: Kind) => {
      run = handshakesOf(kind)
    },
    run: (count: number) => run?.(count),
  })
}

function serveFleet(): void {
  const fleet = new Fleet()
  serve({
    connect: ({ port, meters, intervalS }: { port: number; meters: number; intervalS: number }) =>
      fleet.connect(port, meters, intervalS),
    prepare: (load: Load) => fleet.prepare(load),
    run: (window: number) => timed(fleet.run(window)),
    pace: (perSecond: number) => timed(fleet.pace(perSecond)),
  })
}

function serveCore(): void {
  const pools = new Pools()
  let core: Core | null = null
  serve({
    open: (options: { dir: string; meters: number; workers: number }) => {
      core = new Core(options.dir, options.workers)
      return core.connect(options.meters)
    },
    run: ({ mode, blocksPerMeter }: Load) => core?.run(mode, blocksPerMeter),
    pools: (signatures: number) => pools.compare(signatures),
  })
}

function servePublishers(): void {
  const publishers = new Publishers()
  serve({
    connect: (target: Target) => publishers.connect(target),
    send: (each: number) => publishers.send(each),
  })
}
