#!/bin/sh
# Inside the root: an authority, a fog node, a cloud and a meter, as the README sets them up, with short
# windows. The cloud's broker is a second one on this machine, so it gets a unit of its own.
set -eu
cd /root
fogmeter authority init >/dev/null
for device in 'fog fog-1' 'cloud cloud-a' 'meter meter-0001'; do
  # shellcheck disable=SC2086
  fogmeter enrol $device --out new >/dev/null
done
cd new
install -m 600 fog-1.key /etc/fogmeter/keys/agent.key
install -m 600 cloud-a.key /etc/fogmeter/keys/cloud.key
install -m 600 meter-0001.key /etc/fogmeter/keys/
install -m 644 fog-1.cwt /etc/fogmeter/agent.cwt
install -m 644 cloud-a.cwt /etc/fogmeter/cloud.cwt
install -m 644 meter-0001.cwt /etc/fogmeter/meters/
install -m 644 authority.pub revoked.cose /etc/fogmeter/

cd /etc/fogmeter
sed 's/^mdns = false/mdns = true/' broker.toml.example > broker.toml
sed 's/^seconds = 900/seconds = 10/; s/^grace_seconds = .*/grace_seconds = 1/
  s/^idle_seconds = .*/idle_seconds = 3/' agent.toml.example > agent.toml
sed 's#/run/fogmeter/#/run/fogmeter-cloud/#' cloud.toml.example > cloud.toml
sed 's/^node = .*/node = "cloud-a"/; s/1883/1884/; s/9101/9105/
  s#/run/fogmeter/#/run/fogmeter-cloud/#' broker.toml.example > cloud-broker.toml
sed 's/^interval_seconds = .*/interval_seconds = 1/; s/^seconds = 60/seconds = 2/' \
  meters/meter.toml.example > meters/meter-0001.toml
for program in broker agent cloud; do fogmeter config check $program.toml --for $program; done
fogmeter config check cloud-broker.toml --for broker
fogmeter config check meters/meter-0001.toml --for meter

mkdir -p /etc/systemd/system
sed 's#/etc/fogmeter/broker.toml#/etc/fogmeter/cloud-broker.toml#
  s#^RuntimeDirectory=.*#RuntimeDirectory=fogmeter-cloud#' \
  /usr/lib/systemd/system/fogmeter-broker.service > /etc/systemd/system/fogmeter-cloud-broker.service
