#!/bin/bash
# root.sh BASE.tar FOGMETER.deb DIR: makes the root of the image in DIR/root, and in DIR/firmware what
# goes onto the boot partition. From the environment: SOURCE_DATE_EPOCH, NODE_NAME, WATCHDOG_SECONDS,
# SSH_KEYS (a file or empty), SECURITY_UPDATES (empty or 1), KERNEL (stock or backports). As root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
base=${1:?} deb=${2:?} work=${3:?}
root=$work/root firmware=$work/firmware
mkdir -m 755 "$root" "$firmware"
tar -xf "$base" --numeric-owner --xattrs -C "$root"

# The package, by its own scripts.
cp "$deb" "$root/fogmeter.deb"
chroot "$root" dpkg -i /fogmeter.deb >/dev/null
rm "$root/fogmeter.deb"
[ -n "$SECURITY_UPDATES" ] || {
  # What only installs and builds. By dpkg, so that its list stays true, without their own scripts. apt
  # stays: it fetches and checks Fogmeter's own updates.
  tools='cpio dracut-install initramfs-tools
    initramfs-tools-bin initramfs-tools-core perl-base debconf dosfstools zstd'
  for tool in $tools; do rm -f "$root/var/lib/dpkg/info/$tool".p{re,ost}rm "$root/var/lib/dpkg/info/$tool:arm64".p{re,ost}rm; done
  # shellcheck disable=SC2086
  chroot "$root" dpkg --force-all --purge $tools >/dev/null 2>&1
}
chroot "$root" dpkg-query -W -f '${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n' \
  >"$work/packages.tsv"

cp -rT --no-preserve=ownership,timestamps "$here/root" "$root"
echo "$NODE_NAME" >"$root/etc/hostname"
printf '127.0.0.1 localhost %s\n::1 localhost\n' "$NODE_NAME" >"$root/etc/hosts"
ln -sf /run/systemd/resolve/stub-resolv.conf "$root/etc/resolv.conf"
sed -i "s/@WATCHDOG@/${WATCHDOG_SECONDS}s/" "$root/etc/systemd/system.conf.d/fogmeter.conf"
: >"$root/etc/machine-id" # a new one at each boot; nothing is kept by it
touch "$root/etc/.updated" "$root/var/.updated" "$root/usr/lib/clock-epoch"
rm -rf "$root/var/lib/fogmeter-versions" # is on the data partition
mkdir -p "$root/etc/fogmeter" "$root/var/lib/fogmeter"{,-versions} "$root/var/lib/systemd/timesync" "$root/boot/firmware"

# Nobody logs in.
sed -i 's/^\([^:]*\):[^:]*:/\1:!*:/' "$root/etc/shadow"
rm -f "$root"/etc/ssh/ssh_host_*
control() { systemctl --root="$root" --quiet "$@"; }
control enable systemd-networkd systemd-resolved systemd-timesyncd nftables fogmeter-grow \
  fogmeter-machine fogmeter-token fogmeter-first-boot fogmeter-broker fogmeter-agent \
  fogmeter-versions fogmeter-upkeep fogmeter-update.timer
control mask getty@.service serial-getty@.service systemd-firstboot.service man-db.timer \
  dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer wpa_supplicant.service
if [ -n "$SSH_KEYS" ]; then
  install -D -m 600 "$SSH_KEYS" "$root/etc/ssh/authorized_keys"
  mkdir -p "$root/etc/nftables.d"
  echo 'tcp dport 22 accept' >"$root/etc/nftables.d/ssh.nft"
  control enable fogmeter-ssh-key ssh
else
  rm "$root/etc/systemd/system/fogmeter-ssh-key.service" "$root/etc/ssh/sshd_config.d/fogmeter.conf"
fi
if [ -n "$SECURITY_UPDATES" ]; then
  control enable apt-daily.timer apt-daily-upgrade.timer
else
  # Debian's own archives are not asked; timers that would are off.
  rm -rf "$root"/etc/apt/{sources.list,sources.list.d/*,preferences.d/*,apt.conf.d/*} \
    "$root"/etc/systemd/system/apt-daily{,-upgrade}.timer.d
  control mask apt-daily.timer apt-daily-upgrade.timer
fi

# Kernel, initramfs and the Pi's firmware are on the boot partition alone.
kernel=$(cd "$root/boot" && ls vmlinuz-* | sort -V | tail -n 1)
cp -r "$root/boot/firmware/." "$firmware/"
rm -f "$firmware"/{start,fixup}{_,4}{x,db,cd}.{elf,dat} # for cameras, debugging, and the least memory
cp "$root/boot/$kernel" "$root/boot/initrd.img-${kernel#vmlinuz-}" "$firmware/"
rm -rf "$root"/usr/lib/raspi-firmware "$root"/usr/lib/linux-image-*
rm -rf "$root"/{usr/lib,etc}/udev/hwdb.bin "$root"/usr/lib/*/gconv
version=${kernel#vmlinuz-}
modules=$root/usr/lib/modules/$version
if [ "$KERNEL" = backports ]; then
  grep -v '^\(#\|$\)' "$here/left-out-backports" | while read -r path; do rm -r "$root"/$path; done
fi
names() { sed 's#.*/##; s/\.ko.*//; s/-/_/g' | sort -u; }
depmod -b "$root" "$version"
find "$modules" -name '*.ko*' -print0 | xargs -0 modinfo -F depends | tr , '\n' | sed '/^$/d' | names >"$work/needed"
{ find "$modules" -name '*.ko*'; cat "$modules/modules.builtin"; } | names >"$work/there"
absent=$(comm -23 "$work/needed" "$work/there")
[ -z "$absent" ] || { echo "left-out takes away what modules need that stay:" $absent >&2; exit 1; }
rm -rf "${root:?}"/boot/*
mkdir "$root/boot/firmware"

# The same bytes each time: no caches, no logs, and nothing dated after the build.
rm -rf "$root"/var/{cache,log,tmp}/* "$root"/var/lib/apt/lists/* "$root"/{tmp,run,root}/* \
  "$root"/var/lib/dpkg/*-old "$root"/etc/*- "$root"/var/lib/systemd/random-seed
find "$root" "$firmware" -newermt "@$SOURCE_DATE_EPOCH" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
touch -d "@$SOURCE_DATE_EPOCH" "$root/usr/lib/clock-epoch"
