/**
 * relay.ts PORT: one connection from inside the guest, on stdin and stdout, to a port on loopback here.
 * QEMU starts one for each connection, see guestfwd in guest.ts.
 */
import { connect } from 'node:net'

const socket = connect(Number(process.argv[2]), '127.0.0.1')
process.stdin.pipe(socket)
socket.pipe(process.stdout)
socket.on('error', () => process.exit(1))
socket.on('close', () => process.exit(0))
process.stdout.on('error', () => process.exit(1))
