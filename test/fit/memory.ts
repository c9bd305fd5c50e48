import { Exhausted } from '../../apps/emulator/firmware/memory.ts'
import type { LoadedFirmware, Variant } from '../../apps/emulator/build.ts'
import { startMachine, startScript } from '../../apps/emulator/vm.ts'
import { createChipBench } from '../support/chip-bench.ts'

export interface Fit {
  sourceBytes: number
  bytecodeBytes: number
  /** Allocated after the start, and after readings, a handshake, a list, a report and its receipt. */
  startedBytes: number
  usedBytes: number
  /** The smallest limit under which all that succeeds, to a KiB. */
  neededBytes: number
}

const STEP = 1_024
const PLENTY = 4_194_304
/** As many revoked credentials as a chip takes from its fog node. */
const REVOKED = 47

/** Measures with plenty of memory, then looks for how little is enough. */
export async function memoryOf(variant: Variant, loaded: LoadedFirmware): Promise<Fit> {
  const live = variant === 'records' ? liveOnRecords : liveInFull
  const [startedBytes, usedBytes] = await live(loaded, PLENTY)
  let [least, most] = [startedBytes, PLENTY]
  while (most - least > STEP) {
    const middle = (least + most) >> 1
    if (await isEnough(() => live(loaded, middle))) most = middle
    else least = middle
  }
  return {
    sourceBytes: loaded.sourceBytes,
    bytecodeBytes: loaded.bytecode.length,
    startedBytes,
    usedBytes,
    neededBytes: most,
  }
}

async function isEnough(run: () => Promise<unknown>): Promise<boolean> {
  try {
    await run()
    return true
  } catch (error) {
    if (error instanceof Exhausted) return false
    throw error
  }
}

async function liveInFull(loaded: LoadedFirmware, memoryBytes: number): Promise<[number, number]> {
  const bench = createChipBench({ revoked: REVOKED })
  const { host, provision } = bench
  const machine = await startMachine({ ...loaded, memoryBytes, host, provision })
  try {
    const startedBytes = machine.heapBytes()
    for (let i = 0; i < 16; i++) bench.measure(machine.firmware)
    bench.deliver(machine.firmware)
    if (bench.held() !== 1) throw new Error('the block did not arrive')
    if (!bench.events.some(({ event }) => event === 'revocations')) {
      throw new Error('the list of revoked credentials was not taken')
    }
    return [startedBytes, machine.heapBytes()]
  } finally {
    machine.dispose()
  }
}

async function liveOnRecords(
  loaded: LoadedFirmware,
  memoryBytes: number,
): Promise<[number, number]> {
  const options = { ...loaded, memoryBytes }
  const started = await startScript(options, 'begin', [new Uint8Array(32), new Uint8Array(12)])
  const used = await startScript(options, 'hour', [new Uint8Array(32), new Uint8Array(12)])
  return [started.heapBytes, used.heapBytes]
}
