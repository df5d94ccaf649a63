#!/bin/sh
# Builds the root file system of the container image: packaging/rootfs.sh BINARY OUTDIR
#
# This is the only list of what is in the image. The Dockerfile runs it in its build stage and copies OUTDIR to /;
# tests/image/run.sh runs it too and starts the result by chroot, so the image is tested where no engine runs.
# There is no shell, no package manager and no writable place but the volume.
set -eu

[ $# -eq 2 ] || { echo "usage: $0 BINARY OUTDIR" >&2; exit 2; }
binary=$1
root=$2
here=$(cd "$(dirname "$0")" && pwd)
uid=65532
ca_bundle=/etc/ssl/certs/ca-certificates.crt

[ -f "$binary" ] || { echo "error: there is no binary at $binary; build it first" >&2; exit 1; }
[ -f "$ca_bundle" ] || { echo "error: $ca_bundle is missing; install the package ca-certificates" >&2; exit 1; }
if [ -e "$root" ] && [ -n "$(ls -A "$root")" ]; then
  echo "error: $root is not empty" >&2
  exit 1
fi

umask 022
mkdir -p "$root/etc/rota" "$root/etc/ssl/certs" "$root/usr/bin" "$root/usr/share/doc/rota" "$root/var/lib"

install -m 0555 "$binary" "$root/usr/bin/rota"

# The shared libraries the binary names, and the loader itself (the one line of ldd without "=>").
ldd "$binary" | awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }' | sort -u | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  install -m 0555 "$(readlink -f "$library")" "$root$library"
done

install -m 0444 "$ca_bundle" "$root$ca_bundle"
install -m 0444 "$here/../LICENSE" "$root/usr/share/doc/rota/LICENSE"

# Names for `files dns` look-ups; an engine mounts its own resolv.conf and hosts over the root.
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
printf 'root:x:0:0::/:/nonexistent\nrota:x:%s:%s::/var/lib/rota:/nonexistent\n' "$uid" "$uid" >"$root/etc/passwd"
printf 'root:x:0:\nrota:x:%s:\n' "$uid" >"$root/etc/group"
chmod 0444 "$root/etc/nsswitch.conf" "$root/etc/passwd" "$root/etc/group"

# The volume: the only place that belongs to the user the daemon runs as.
install -d -m 0700 "$root/var/lib/rota"
if [ "$(id -u)" -eq 0 ]; then
  chown "$uid:$uid" "$root/var/lib/rota"
fi
