#!/bin/bash
# To be sourced as root: a Debian of its own, booted with systemd in namespaces (boot.sh), from a root that is
# made once and kept in var/package. Sets `root` and `first`, the process that is its systemd.

base() { # base ARCH VARIANT PACKAGES NAME: a Debian root as a tar file
  local tar=$cache/$suite-$4.tar
  [ -e "$tar" ] || {
    mmdebstrap --quiet --format=tar --architectures="$1" --variant="$2" --include="$3" "$suite" "$tar.new" >&2
    mv "$tar.new" "$tar"
  }
  echo "$tar"
}

unpack() { # unpack TAR DIR
  mkdir "$2"
  tar -xf "$1" --numeric-owner -C "$2"
}

is_up() {
  first=$(cat "/proc/$booted/task/$booted/children" 2>/dev/null || true)
  first=${first%% *}
  [ -n "$first" ] || return 1
  # A container is "degraded": it has no kernel modules to load.
  case $(nsenter -t "$first" -a systemctl is-system-running 2>/dev/null || true) in
    running | degraded) return 0 ;;
    *) return 1 ;;
  esac
}

boot() { # boot ROOT: sets booted and first
  test/package/boot.sh "$1" &>"$work/boot.log" &
  booted=$!
  for _ in $(seq 300); do
    if is_up; then return; fi
    sleep 0.2
  done
  cat "$work/boot.log" >&2
  echo 'systemd did not come up' >&2
  exit 1
}
