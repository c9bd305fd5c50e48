/**
 * What Node is started with to run a program that runs for months. V8 lets the young generation grow to
 * 128 MiB on a machine with memory to spare, and the worker threads' too, in steps that may be an hour
 * apart. With 32 MiB the programs need no more CPU time, and are as large after minutes as they will ever
 * be. It can only be said at the start of the process. apps/cli/fogmeter.mjs says it in its first line.
 */
export const nodeFlags: readonly string[] = ['--max-semi-space-size=16']
