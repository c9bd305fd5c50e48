#!/bin/sh
# Inside a root whose systemd is running: the whole life of the package. Every check ends the script.
set -eu
here=$(dirname "$0")
all='fogmeter-broker fogmeter-cloud-broker fogmeter-cloud fogmeter-agent fogmeter-meter@meter-0001'
fail() {
  echo "FAILED: $*" >&2
  journalctl --no-pager -n 40 -u 'fogmeter*' -o cat >&2
  exit 1
}
step() { printf '%s: ok\n' "$*"; }

dpkg -i "$here/fogmeter.deb" >/dev/null
for unit in broker agent cloud; do
  [ "$(systemctl is-enabled fogmeter-$unit || true)" = disabled ] || fail "$unit is enabled"
done
systemctl start fogmeter-agent
[ "$(systemctl is-active fogmeter-agent || true)" = inactive ] || fail 'started without configuration'
step 'installed; without a configuration nothing is enabled and nothing starts'

"$here/configure.sh" >/dev/null
mkdir -p /boot/firmware
echo secret >/boot/firmware/token
systemctl daemon-reload
# shellcheck disable=SC2086
systemctl enable --now $all 2>/dev/null || fail 'a unit did not become ready'
count=$("$here/counted.sh" 20)
journalctl --no-pager -u fogmeter-agent -o cat | grep -q '"curves":"libsodium"' || fail 'libsodium does not load'
step "every unit reports ready under its sandbox, and the cloud has counted $count readings"

for unit in $all; do
  pid=$(systemctl show -P MainPID "$unit")
  if nsenter -t "$pid" -m test -e /boot/firmware/token; then fail "$unit can see the card's token"; fi
  grep -q '^CapEff:.0000000000000000$' "/proc/$pid/status" || fail "$unit has capabilities"
  grep -q '^Seccomp:.2$' "/proc/$pid/status" || fail "$unit has no system call filter"
  [ "$(stat -c %U "/proc/$pid")" != root ] || fail "$unit runs as root"
done
# As root with all its rights, but inside the broker's own view of the machine.
pid=$(systemctl show -P MainPID fogmeter-broker)
[ -e /etc/fogmeter/keys/agent.key ] && [ -e /var/lib/fogmeter/agent/fog.db ] || fail 'no key, no store'
for path in /etc/fogmeter/keys/agent.key /var/lib/fogmeter/agent/fog.db; do
  if nsenter -t "$pid" -m test -e "$path"; then fail "the broker can see $path"; fi
done
step 'no capabilities, no root, and the broker sees neither keys nor stores'

fogmeter fog find fog-1 >/dev/null 2>&1 || fail 'the broker is not found by mDNS from inside its sandbox'
step 'the broker is found by mDNS, from inside its sandbox'

mkdir -p /run/systemd/system/fogmeter-agent.service.d
printf '[Service]\nWatchdogSec=4\nRestartSec=1\n' > /run/systemd/system/fogmeter-agent.service.d/test.conf
systemctl daemon-reload
systemctl restart fogmeter-agent
before=$(systemctl show -P NRestarts fogmeter-agent)
sleep 10
[ "$(systemctl show -P NRestarts fogmeter-agent)" = "$before" ] || fail 'a working agent was restarted'
timeout 60 /usr/lib/fogmeter/node --input-type=commonjs -e '
  const store = require("/usr/lib/fogmeter/app/node_modules/better-sqlite3")("/var/lib/fogmeter/agent/fog.db", { timeout: 10000 })
  store.exec("BEGIN IMMEDIATE")
  setInterval(() => {}, 1000)' &
holder=$!
for _ in $(seq 60); do
  [ "$(systemctl show -P NRestarts fogmeter-agent)" = "$before" ] || break
  sleep 0.5
done
kill $holder
journalctl --no-pager -u fogmeter-agent -o cat | grep -q 'Watchdog timeout' || fail 'the watchdog slept'
rm -r /run/systemd/system/fogmeter-agent.service.d
systemctl daemon-reload
systemctl restart fogmeter-agent
count=$("$here/counted.sh" "$count")
step "systemd leaves a working agent alone and restarts one whose commits are stuck; $count readings"

systemctl stop fogmeter-agent
fogmeter backup agent --config /etc/fogmeter/agent.toml --out /root/fog-1.backup >/dev/null
fogmeter restore agent --config /etc/fogmeter/agent.toml --from /root/fog-1.backup >/dev/null
systemctl start fogmeter-agent || fail 'the agent does not start on a restored store'
count=$("$here/counted.sh" "$count")
step "backed up and restored by root, without the key; $count readings"

mkdir -p /run/systemd/system/fogmeter-upkeep.service.d
printf '[Service]\nEnvironment=PROOF_SECONDS=10 DEADLINE_SECONDS=45\n' > /run/systemd/system/fogmeter-upkeep.service.d/test.conf
systemctl daemon-reload
runs() { /usr/lib/fogmeter/versions which; }
pids() { for unit in $all; do systemctl show -P MainPID "$unit"; done; }
before=$(pids)
dpkg -i "$here/fogmeter-next.deb" >/dev/null
systemctl restart fogmeter-cloud-broker # not of the package
# shellcheck disable=SC2086
systemctl is-active -q $all || fail 'a unit is down after the upgrade'
for pid in $before; do [ ! -e "/proc/$pid" ] || fail "process $pid outlived the upgrade"; done
count=$("$here/counted.sh" "$count")
step "an upgrade restarts what ran, and the cloud goes on counting: $count readings"

[ -e /var/lib/fogmeter-versions/trial ] || fail 'a new version is not on trial'
systemctl start fogmeter-versions || fail 'what a start of the machine does with versions fails in its sandbox'
grep -qx start /var/lib/fogmeter-versions/trial || fail 'a start of a version on trial is not counted'
systemctl start fogmeter-upkeep # waits for the verdict
[ ! -e /var/lib/fogmeter-versions/trial ] || fail 'a working version did not prove itself'
good=$(runs)
dpkg -i "$here/fogmeter-next+failing.deb" >/dev/null
[ "$(runs)" != "$good" ] || fail 'the failing version does not run'
systemctl start fogmeter-upkeep
[ "$(runs)" = "$good" ] || fail "a version whose agent fails was not taken back: $(runs)"
grep -q failing /var/lib/fogmeter-versions/refused || fail 'what was taken back is not remembered'
count=$("$here/counted.sh" "$count")
# shellcheck disable=SC2086
systemctl is-active -q $all || fail 'a unit is down after the version before was taken again'
rm -r /run/systemd/system/fogmeter-upkeep.service.d
systemctl daemon-reload
step "a version that works is kept, one whose agent fails is taken back; $count readings"

systemctl start fogmeter-update.timer
dpkg -r fogmeter >/dev/null
left=$(systemctl list-units --plain --no-legend 'fogmeter*' | grep -v '^fogmeter-cloud-broker' || true)
[ -z "$left" ] || fail "active after removal: $left"
[ ! -e /usr/bin/fogmeter ] && [ ! -e /usr/lib/fogmeter ] || fail 'programs left after removal'
[ -e /etc/fogmeter/keys/agent.key ] && [ -e /var/lib/fogmeter/agent/fog.db ] || fail 'removal lost data'
dpkg -i "$here/fogmeter-next.deb" >/dev/null
systemctl start fogmeter-cloud-broker
count=$("$here/counted.sh" "$count")
step "removal keeps keys and stores; installed again it goes on: $count readings"

systemctl disable -q --now fogmeter-cloud-broker
rm /etc/systemd/system/fogmeter-cloud-broker.service
cp /etc/fogmeter/broker.toml /root/
dpkg -P fogmeter >/dev/null
left=$(find / -xdev -path /root -prune -o -path "$here" -prune -o -name '*fogmeter*' -print | grep -v '^/var/log/' || true)
[ -z "$left" ] || fail "left after purge: $left"
id fogmeter-agent >/dev/null || fail 'the users are gone'
step 'purged: nothing is left but the users'

install -D -m 644 /root/broker.toml /etc/fogmeter/broker.toml
dpkg -i "$here/fogmeter.deb" >/dev/null
[ "$(systemctl is-enabled fogmeter-broker)" = enabled ] || fail 'not enabled though configured'
systemctl is-active -q fogmeter-broker || fail 'not started though configured'
[ "$(systemctl is-enabled fogmeter-agent || true)" = disabled ] || fail 'the agent is enabled without a configuration'
dpkg -P fogmeter >/dev/null
[ ! -e /etc/fogmeter ] && [ ! -e /var/lib/fogmeter ] || fail 'left after purge'
step 'installed where a configuration waits, as on an image: that program is enabled and started, no other'
