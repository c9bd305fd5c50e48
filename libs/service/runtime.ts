/**
 * What Node is started with to run a program that runs for months. V8 lets the young generation of each
 * thread grow to 128 MiB on a machine with memory to spare, in steps that may be many minutes apart. With
 * 16 MiB the programs need no more CPU time, and have their size after minutes. It can only be said at the
 * start of the process; apps/cli/fogmeter.mjs says it in its first line.
 */
export const nodeFlags: readonly string[] = ['--max-semi-space-size=8']
