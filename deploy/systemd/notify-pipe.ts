import { execFileSync } from 'node:child_process'
import { chmodSync, constants, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** Where systemd's notification socket would be. */
export interface NotifyPipe {
  /** For the program: NOTIFY_SOCKET, and a PATH that begins with our systemd-notify. */
  env: { NOTIFY_SOCKET: string; PATH: string }
  close(): void
}

/**
 * Stands in for the socket of sd_notify(3), which Node cannot open: a named pipe, and a program
 * called systemd-notify that writes its arguments into it, one line a call.
 */
export function openNotifyPipe(heard: (line: string) => void): NotifyPipe {
  const folder = mkdtempSync(join(tmpdir(), 'run-unit-'))
  chmodSync(folder, 0o711)
  const pipe = join(folder, 'notify')
  execFileSync('mkfifo', [pipe])
  chmodSync(pipe, 0o622) // the program runs as another user
  const script = join(folder, 'systemd-notify')
  writeFileSync(script, '#!/bin/sh\nprintf "%s\\n" "$*" > "$NOTIFY_SOCKET"\n')
  chmodSync(script, 0o755)
  // Read and write: a pipe whose last writer has gone would be at its end.
  const socket = new Socket({ fd: openSync(pipe, constants.O_RDWR | constants.O_NONBLOCK) })
  createInterface({ input: socket }).on('line', heard)
  const PATH = `${folder}:${process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin'}`
  return {
    env: { NOTIFY_SOCKET: pipe, PATH },
    close() {
      socket.destroy()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
