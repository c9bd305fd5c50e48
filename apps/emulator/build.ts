import { existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { compileFirmware } from './vm.ts'

/** Firmwares that differ in who does their arithmetic. */
export const variants = ['noble', 'small', 'native', 'records'] as const
export type Variant = (typeof variants)[number]

const root = join(import.meta.dirname, '../..')

/** One file for the virtual machine, as the package has it ready: a clone makes it when needed. */
export function bundleFirmware(variant: Variant): Promise<string> {
  return bundleEntry(`apps/emulator/firmware/${variant}.ts`)
}

/** The same of any file: what it exports becomes one global object, `firmware`. */
export async function bundleEntry(path: string): Promise<string> {
  const { rolldown } = await import('rolldown')
  const { leaveTexts } = await import('./leave-texts.ts')
  const build = await rolldown({
    cwd: root,
    input: path,
    platform: 'neutral',
    plugins: [leaveTexts],
    checks: { pluginTimings: false },
  })
  const { output } = await build.generate({ format: 'iife', name: 'firmware', minify: true })
  await build.close()
  return output[0].code
}

export interface LoadedFirmware {
  wasm: WebAssembly.Module
  bytecode: Uint8Array
  /** Of the bundle's text. */
  sourceBytes: number
}

export async function loadFirmware(variant: Variant): Promise<LoadedFirmware> {
  const ready = join(import.meta.dirname, `firmware-${variant}.js`)
  const bundle = existsSync(ready) ? readFileSync(ready, 'utf8') : await bundleFirmware(variant)
  const wasm = await WebAssembly.compile(new Uint8Array(readFileSync(wasmFile())))
  const bytecode = await compileFirmware(wasm, bundle)
  return { wasm, bytecode, sourceBytes: bundle.length }
}

/** Beside this file in the package, in its own package in a clone. */
function wasmFile(): string {
  const beside = join(import.meta.dirname, 'quickjs.wasm')
  if (existsSync(beside)) return beside
  return createRequire(import.meta.url).resolve('quickjs-wasi/quickjs.wasm')
}
