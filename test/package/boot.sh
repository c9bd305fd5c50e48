#!/bin/bash
# boot.sh ROOT: systemd as the first process of namespaces of its own (mount, pid, network, …), on a Debian
# root. The machine around it is not touched; its network is a loopback of its own.
set -euo pipefail
root=$(realpath "${1:?}")
unified=$(findmnt -n -o TARGET -t cgroup2 | tail -n 1)
group=$unified/fogmeter-package-test
mkdir -p "$group"
echo $$ >"$group/cgroup.procs"
# shellcheck disable=SC2016
exec unshare --cgroup --mount --pid --net --uts --ipc --fork --kill-child bash -euc '
  root=$1
  mount --bind "$root" "$root"
  cd "$root"
  mount -t proc proc proc
  mount -t sysfs sysfs sys
  mount -t cgroup2 cgroup2 sys/fs/cgroup
  mount -t tmpfs -o mode=755 tmpfs run
  mount -t tmpfs -o mode=755 tmpfs dev
  for device in null zero full random urandom tty; do
    touch dev/$device
    mount --bind /dev/$device dev/$device
  done
  mkdir dev/pts dev/shm .old
  mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
  mount -t tmpfs tmpfs dev/shm
  ln -s pts/ptmx dev/ptmx
  ln -s /proc/self/fd dev/fd
  ip link set lo up
  hostname fogmeter-test
  pivot_root . .old
  umount -l /.old
  rmdir /.old
  mount --make-rshared / # systemd hands credentials over by mounts
  exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --show-status=no
' boot "$root" </dev/null
