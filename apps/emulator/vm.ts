import { CompileFlags, Intrinsics, JSException, QuickJS, type JSValueHandle } from 'quickjs-wasi'
import type { Firmware, Host, Provision } from './firmware/host.ts'
import { Exhausted } from './firmware/memory.ts'

/** What the firmware uses of the language; the rest would only cost memory. */
const LANGUAGE =
  Intrinsics.REGEXP |
  Intrinsics.JSON |
  Intrinsics.MAP_SET |
  Intrinsics.TYPED_ARRAYS |
  Intrinsics.BIG_INT
/**
 * quickjs-wasi keeps this much of its limit back, so that there is room for the error that tells of
 * the shortage. Only then, when the program is over, is it used.
 */
const KEPT_BACK_BYTES = 131_072
/** Collects early: a chip has no room for rubbish. */
const COLLECT_AFTER_BYTES = 32_768

export interface Machine {
  firmware: Firmware
  /** Bytes allocated now, rubbish collected. */
  heapBytes(): number
  dispose(): void
}

/** Translates a bundle (see build.ts) once; every start of a chip loads the result. */
export async function compileFirmware(
  wasm: WebAssembly.Module,
  bundle: string,
): Promise<Uint8Array> {
  using vm = await QuickJS.create({ wasm })
  return vm.compile(bundle, 'firmware', 0, CompileFlags.STRIP_SOURCE | CompileFlags.STRIP_DEBUG)
}

/**
 * Starts the firmware in a virtual machine that gets `memoryBytes` and not one more. Throws
 * `Exhausted` when that is not enough to start; so does every call that finds too little.
 */
export async function startMachine(options: {
  wasm: WebAssembly.Module
  bytecode: Uint8Array
  memoryBytes: number
  host: Host
  provision: Provision
}): Promise<Machine> {
  const { wasm, bytecode, memoryBytes, host, provision } = options
  const vm = await createVm(wasm, memoryBytes)
  try {
    const firmware = shortageTold(() => {
      vm.evalBytecode(bytecode).dispose()
      return bridge(vm, host, provision)
    })
    return {
      firmware,
      heapBytes: () => heapOf(vm),
      dispose: () => vm.dispose(),
    }
  } catch (error) {
    vm.dispose()
    throw error
  }
}

/** Calls one function of a bundle in a virtual machine of its own, with bytes; see `startMachine`. */
export async function startScript(
  options: { wasm: WebAssembly.Module; bytecode: Uint8Array; memoryBytes: number },
  name: string,
  values: readonly Uint8Array[],
): Promise<{ value: unknown; heapBytes: number }> {
  using vm = await createVm(options.wasm, options.memoryBytes)
  return shortageTold(() => {
    vm.evalBytecode(options.bytecode).dispose()
    const value = vm.withScope(() => {
      const method = vm.global.getProp('firmware').getProp(name)
      const args = values.map((bytes) => vm.hostToHandle(bytes))
      return outside(vm.callFunction(method, vm.undefined, ...args))
    })
    return { value, heapBytes: heapOf(vm) }
  })
}

/** Allocated now, rubbish collected. */
function heapOf(vm: QuickJS): number {
  vm.runGC()
  return vm.getMemoryUsage().mallocSize
}

async function createVm(wasm: WebAssembly.Module, memoryBytes: number): Promise<QuickJS> {
  const memoryLimit = memoryBytes + KEPT_BACK_BYTES
  const vm = await QuickJS.create({ wasm, intrinsics: LANGUAGE, memoryLimit })
  vm.gcThreshold = COLLECT_AFTER_BYTES
  return vm
}

/** The objects of `Host` and `Provision` inside, the one of `Firmware` outside. */
function bridge(vm: QuickJS, host: Host, provision: Provision): Firmware {
  /** The machine keeps its own reference to what a host function answered; ours would add up. */
  let answered: JSValueHandle | null = null
  function answer(value: unknown): JSValueHandle {
    answered?.dispose()
    answered = vm.hostToHandle(value)
    return answered
  }
  using given = vm.newObject()
  for (const name of HOST_FUNCTIONS) {
    using inside = vm.newFunction(name, (...args) =>
      answer((host[name] as (...values: unknown[]) => unknown)(...args.map(outside))),
    )
    given.setProp(name, inside)
  }
  using put = vm.hostToHandle(provision)
  using exports = vm.global.getProp('firmware')
  using boot = exports.getProp('boot')
  const inside = vm.callFunction(boot, vm.undefined, given, put)

  function call(name: keyof Firmware, ...values: unknown[]): unknown {
    answered = null
    return shortageTold(() =>
      vm.withScope(() => {
        const method = inside.getProp(name)
        const args = values.map((value) => vm.hostToHandle(value))
        return outside(vm.callFunction(method, inside, ...args))
      }),
    )
  }

  const made = Object.fromEntries(
    FIRMWARE_METHODS.map((name) => [name, (...values: unknown[]) => call(name, ...values)]),
  )
  return made as unknown as Firmware
}

const HOST_FUNCTIONS = [
  'now',
  'monotonic',
  'timeKnown',
  'random',
  'flashRead',
  'flashProgram',
  'flashErase',
  'retained',
  'retain',
  'connect',
  'publish',
  'disconnect',
  'charge',
  'event',
  'native',
] as const satisfies readonly (keyof Host)[]

const FIRMWARE_METHODS = [
  'measure',
  'wantsLink',
  'online',
  'connected',
  'receive',
  'disconnected',
  'tick',
  'nextTickAt',
  'delivered',
  'closeBlock',
  'status',
] as const satisfies readonly (keyof Firmware)[]

/** Numbers, text, truth values and bytes; nothing else crosses. */
function outside(handle: JSValueHandle): unknown {
  if (handle.isNumber) return handle.toNumber()
  if (handle.isString) return handle.toString()
  if (handle.isBool) return handle.toBoolean()
  return handle.isObject ? handle.toUint8Array() : undefined
}

/** Every way in which the virtual machine says that it has no memory left is one error. */
function shortageTold<T>(work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (isShortage(error)) throw new Exhausted()
    throw error
  }
}

function isShortage(error: unknown): boolean {
  if (!(error instanceof JSException)) return false
  return error.name === 'Exhausted' || error.name === 'InternalError' || error.message === 'null'
}
