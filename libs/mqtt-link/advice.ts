/** What a person can do about a channel or connection that ended, by code; shown in the log. */
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
  'channel/timeout': 'the broker is there but nobody answers behind it: is the agent or cloud up?',
  'mqtt-link/untrusted-broker':
    "the broker's certificate is not for this host name or not from the authority in `ca`: " +
    'correct one of them',
  'mqtt-link/not-admitted':
    'the broker serves another node or does not admit this client: compare the node name with ' +
    "the broker's configuration, and see its log",
}

/** The sentence for `code`, or for the peer's reason where that is known; null when there is none. */
export function adviceFor(code: string, detail: string | null): string | null {
  return (detail === null ? undefined : ADVICE[detail]) ?? ADVICE[code] ?? null
}
