#!/bin/sh
# Inside a plain chroot: the same units by run-unit.
set -eu
here=$(dirname "$0")
dpkg -i "$here/fogmeter.deb" >/dev/null
if /usr/lib/fogmeter/run-unit fogmeter-agent.service 2>/dev/null; then exit 1; fi
"$here/configure.sh" >/dev/null
started=''
stop() {
  # shellcheck disable=SC2086
  kill $started
  for pid in $started; do wait "$pid" || echo "a unit ended with $?" >&2; done
}
for unit in broker cloud-broker cloud agent meter@meter-0001; do
  /usr/lib/fogmeter/run-unit "fogmeter-$unit.service" 2>"/root/$unit.log" &
  started="$started $!"
done
trap stop EXIT
count=$("$here/counted.sh" 20) || { tail -n 20 /root/*.log >&2; exit 1; }
for unit in broker cloud-broker cloud agent meter@meter-0001; do
  grep -q ': ready$' "/root/$unit.log" || { echo "$unit never became ready" >&2; exit 1; }
done
grep -q '"curves":"libsodium"' /root/agent.log || { echo 'libsodium does not load' >&2; exit 1; }
trap - EXIT
stop
echo "without systemd: every unit runs by run-unit, and the cloud has counted $count readings: ok"
dpkg -P fogmeter >/dev/null
