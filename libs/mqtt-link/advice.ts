/**
 * What a person can do about a channel or connection that ended, by code, or by what OpenSSL says of
 * a certificate; shown in the log.
 */
const ADVICE: Readonly<Record<string, string>> = {
  'credential/untrusted':
    'the two devices were enrolled by different authorities: enrol one of them again with the ' +
    "other's, and give both its authority.pub",
  'credential/expired':
    'enrol the device again (fogmeter enrol … --replace); if the date is not past, set the clock',
  'credential/not-yet-valid': "set this machine's clock",
  'credential/revoked':
    'the authority has revoked this credential; enrol the device again if it should take part',
  'credential/wrong-role':
    'use the files that "fogmeter enrol meter|fog|cloud NAME" made for this kind of program',
  'credential/wrong-group':
    'devices talk only within their group: enrol both with the same --group',
  'channel/wrong-node':
    'another node answers at this address: correct the node name or the broker address',
  'channel/suite-refused': 'the other side lacks our cipher suite: update it',
  'channel/superseded':
    "another program has connected with this device's identity: stop one of the two; if you know " +
    'of none, the key has been copied: revoke it (fogmeter revoke) and enrol the device again',
  'channel/timeout': 'the broker is there but nobody answers behind it: is the agent or cloud up?',
  'certificate is not yet valid':
    "by this machine's clock the broker's certificate has not begun: set the clock; if it is right, " +
    'look at the dates of the certificate',
  'certificate has expired':
    "by this machine's clock the broker's certificate has ended: set the clock if it is wrong, else " +
    'give the broker a new certificate',
  'mqtt-link/nobody-found':
    'no fog node of this name answers by mDNS: is it on this network, and does its broker announce it ' +
    '([discovery] mdns = true)? "fogmeter fog find" lists what answers; else give its address',
  'mqtt-link/untrusted-broker':
    "the broker's certificate is not for this host name or not from the authority in `ca`: " +
    'correct one of them',
  'mqtt-link/not-admitted':
    'the broker serves another node or does not admit this client: compare the node name with ' +
    "the broker's configuration, and see its log",
}

/** The system's reasons for a connection that did not come about. */
const REASONS: readonly [pattern: RegExp, advice: string][] = [
  [/ECONNREFUSED|ENOENT/, 'no broker listens there: start it, or correct the url of the broker'],
  [/ENOTFOUND|EAI_AGAIN/, 'no machine of this name is known: correct the url of the broker'],
  [/EHOSTUNREACH|ENETUNREACH/, 'there is no way to this address: check the network and the url'],
  [/EACCES/, "this user may not open the broker's socket: add it to the group of the socket"],
  [/no answer from the broker/, 'check the url of the broker, and firewalls on the way'],
  [
    /before secure TLS connection|wrong version number/,
    'the broker does not speak TLS there: write mqtt://, or give it an mqtts:// listener',
  ],
  [
    /broker closed the connection/,
    "the broker's log says why: it may want mqtts://; if this goes on, look for a second program " +
      'with the same identity',
  ],
]

/** The sentence for `code`, or for the peer's reason where that is known; null when there is none. */
export function adviceFor(code: string, detail: string | null): string | null {
  const known = (detail === null ? undefined : ADVICE[detail]) ?? ADVICE[code]
  if (known !== undefined || detail === null) return known ?? null
  return REASONS.find(([pattern]) => pattern.test(detail))?.[1] ?? null
}
