#!/bin/bash
# base.sh OUT.tar: a Debian arm64 root with kernel, initramfs and the Pi's firmware, nothing of Fogmeter in it.
# From the environment: SUITE, MIRROR, PACKAGES (comma-separated), BACKPORTS (empty or 1: the kernel of it).
# As root, with mmdebstrap and qemu-user-static. About six minutes, nearly all of it scripts of packages
# under qemu-user.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?}

if [ "$(dpkg --print-architecture)" != arm64 ]; then
  formats=/proc/sys/fs/binfmt_misc
  mountpoint -q $formats || mount -t binfmt_misc binfmt_misc $formats
  [ -e $formats/qemu-aarch64 ] || update-binfmts --enable qemu-aarch64
fi

parts='main non-free-firmware'
sources=(
  "deb $MIRROR $SUITE $parts"
  "deb $MIRROR $SUITE-updates $parts"
  "deb ${MIRROR%/debian}/debian-security $SUITE-security $parts"
)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
preferences=$work/kernel
touch "$preferences"
if [ -n "${BACKPORTS:-}" ]; then
  sources+=("deb $MIRROR $SUITE-backports $parts")
  printf 'Package: linux-* raspi-firmware\nPin: release n=%s-backports\nPin-Priority: 600\n' "$SUITE" \
    >"$preferences"
fi

# What is left out is never unpacked, so that nobody spends minutes on indexing it.
excluded=$work/dpkg.cfg
grep -v '^\(#\|$\)' "$here/left-out" | sed 's#.*#path-exclude=/&\npath-exclude=/&/*#' >"$excluded"
cat >>"$excluded" <<'D'
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
force-unsafe-io
force-confold
D

# The initramfs settings must be there before the kernel is installed; force-confold keeps them.
mmdebstrap --mode=root --architectures=arm64 --variant=minbase --include="$PACKAGES" \
  --aptopt='Acquire::Languages "none"' \
  --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt="$excluded" \
  --essential-hook='mkdir -p "$1/etc/initramfs-tools" "$1/etc/apt/preferences.d"' \
  --essential-hook="cp -r '$here/initramfs/.' \"\$1/etc/initramfs-tools/\"" \
  --essential-hook="cp '$preferences' \"\$1/etc/apt/preferences.d/kernel\"" \
  "$SUITE" "$out.new.tar" "${sources[@]}"
mv "$out.new.tar" "$out"
