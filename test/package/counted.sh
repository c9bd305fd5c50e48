#!/bin/sh
# counted.sh MORE_THAN: inside the root; waits until the cloud has counted more readings than that, and
# prints how many it has.
set -eu
for _ in $(seq 240); do
  count=$(fogmeter status --json 2>/dev/null | sed -n 's/.*"readings":"\{0,1\}\([0-9]*\).*/\1/p' || true)
  if [ "${count:-0}" -gt "$1" ]; then
    echo "$count"
    exit 0
  fi
  sleep 0.5
done
echo "the cloud counted ${count:-nothing} within two minutes, more than $1 were expected" >&2
exit 1
