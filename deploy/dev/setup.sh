#!/bin/sh
# Installs the locked packages when they are missing or older than the lock file, so that
# `npm start` and `npm test` work in a fresh clone. npm's own output goes to stderr: stdout is data.
set -eu
cd "$(dirname "$0")/../.."
stamp=node_modules/.fogmeter-lock
if [ ! -x node_modules/.bin/node ] || ! cmp -s package-lock.json "$stamp"; then
  echo "fogmeter: installing packages (once)…" >&2
  # Not `npm ci`: it fails where a registry lacks an optional package of a platform that is not ours.
  # The versions and hashes of the lock file hold here too, and --no-save leaves it as it is.
  npm install --no-save --no-fund --no-audit --loglevel=error >&2
  cp package-lock.json "$stamp"
fi
