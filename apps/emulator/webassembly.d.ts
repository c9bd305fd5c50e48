/** What is used of WebAssembly, which neither the language's types nor Node's declare. */
declare namespace WebAssembly {
  /** Compiled once, instantiated for every start of a chip. */
  interface Module {
    readonly [Symbol.toStringTag]: 'WebAssembly.Module'
  }
  interface Memory {
    readonly buffer: ArrayBuffer
  }
  function compile(bytes: Uint8Array): Promise<Module>
}
