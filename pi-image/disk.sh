#!/bin/bash
# disk.sh DIR OUT.img: the image of a card, of DIR/root and DIR/firmware as root.sh leaves them. No mount, no
# loop device. From the environment: SOURCE_DATE_EPOCH, BUILD_ID (eight hexadecimal digits, the disk's
# signature, by which the kernel finds its root).
#
#   4 MiB   FIRMWARE       FAT32, what the Pi's own boot reads, and fogmeter/ with the node's settings
#           root           squashfs, read-only
#           fogmeter-data  ext4, grows to the end of the card at the first boot
set -euo pipefail
work=$(realpath "${1:?}") image=$(realpath -m "${2:?}")
export E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH TZ=UTC LC_ALL=C
boot_mib=256 data_mib=128

echo "console=tty0 console=serial0,115200 root=PARTUUID=$BUILD_ID-02 rootfstype=squashfs ro rootwait net.ifnames=0 panic=10 quiet" \
  >"$work/firmware/cmdline.txt"
touch -d "@$SOURCE_DATE_EPOCH" "$work/firmware/cmdline.txt"

mksquashfs "$work/root" "$work/squashfs" -noappend -quiet -no-progress -no-exports -xattrs \
  -comp zstd -Xcompression-level ${SQUASHFS_LEVEL:-15} -b 256K -processors "$(nproc)"

truncate -s ${boot_mib}M "$work/fat"
mkfs.vfat -F 32 -n FIRMWARE -i "$BUILD_ID" --invariant "$work/fat" >/dev/null
cd "$work/firmware"
find . -mindepth 1 -type d | sort | while read -r folder; do mmd -i "$work/fat" "::$folder"; done
find . -type f | sort | while read -r file; do mcopy -m -i "$work/fat" "$file" "::$file"; done

# 4 KiB blocks whatever the size now, so that it can grow to 128 GiB; folders made by debugfs, because
# mke2fs -d copies the time of their creation here.
truncate -s ${data_mib}M "$work/ext4"
mke2fs -q -t ext4 -b 4096 -I 256 -J size=16 -m 1 -L fogmeter-data -O ^orphan_file \
  -U "${BUILD_ID}-f09d-4a7a-8000-000000000003" \
  -E "hash_seed=${BUILD_ID}-f09d-4a7a-8000-000000000004,lazy_itable_init=0,lazy_journal_init=0" "$work/ext4"
timesync=$(awk -F: '$1 == "systemd-timesync" { print $3, $4 }' "$work/root/etc/passwd")
debugfs -w -f - "$work/ext4" >/dev/null 2>&1 <<D
mkdir etc
mkdir etc/keys
set_inode_field etc/keys mode 040700
mkdir versions
mkdir timesync
set_inode_field timesync uid ${timesync% *}
set_inode_field timesync gid ${timesync#* }
D

mib() { echo $((($(stat -c %s "$1") + 1048575) / 1048576)); }
root_mib=$(mib "$work/squashfs")
rm -f "$image"
truncate -s $((4 + boot_mib + root_mib + data_mib))M "$image"
sfdisk --quiet "$image" <<S
label: dos
label-id: 0x$BUILD_ID
start=4MiB, size=${boot_mib}MiB, type=c, bootable
start=$((4 + boot_mib))MiB, size=${root_mib}MiB, type=83
start=$((4 + boot_mib + root_mib))MiB, size=${data_mib}MiB, type=83
S
write() { dd if="$1" of="$image" bs=1M seek="$2" conv=notrunc,sparse status=none; }
write "$work/fat" 4
write "$work/squashfs" $((4 + boot_mib))
write "$work/ext4" $((4 + boot_mib + root_mib))
