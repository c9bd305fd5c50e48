/** Why this machine cannot take part, and what to do. */
const ADVICE: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program has UDP port 5353 for itself: stop it, or let it share the port',
  EACCES: 'this program may not use multicast here: see its unit, and the firewall',
  ENODEV: 'the network has just gone; it is looked for again',
  EAFNOSUPPORT:
    'this program may not ask for its addresses: RestrictAddressFamilies= of its unit lacks AF_NETLINK',
}

export function reasonOf(error: unknown): { code: string; advice: string | null } {
  const { code, info } = error as { code?: string; info?: { code?: string } }
  // What node:os throws has the system's reason inside.
  const reason = info?.code ?? code ?? String(error)
  return { code: reason, advice: ADVICE[reason] ?? null }
}
