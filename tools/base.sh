#!/bin/sh
# Make a base image for `make image` without any registry: a minimal Debian 12 with its Python 3.11, by debootstrap.
# Two minutes and a root's rights, once; the archive is kept in the cache folder, and `podman import` takes seconds.
set -eu
name="${1:-localhost/hearth-base:bookworm}"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/hearth"
archive="$cache/bookworm-$(dpkg --print-architecture).tar"
for program in debootstrap podman; do
    command -v $program >/dev/null || PATH="$PATH:/usr/sbin:/sbin"
    command -v $program >/dev/null || { echo "error: tools/base.sh needs $program; install the package $program." >&2; exit 1; }
done
if [ "$(id -u)" = 0 ]; then as_root=""; else as_root="sudo -n"; fi
if [ ! -s "$archive" ]; then
    scratch="$(mktemp -d)"
    trap '$as_root rm -rf "$scratch"' EXIT
    echo "making a minimal Debian (two minutes, once)"
    $as_root debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$scratch/root" \
        ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$scratch/log" 2>&1 || { tail -n 5 "$scratch/log" >&2; exit 1; }
    # What this machine trusts, so that pip works behind a company's own certificate too.
    [ ! -f /etc/ssl/certs/ca-certificates.crt ] ||
        $as_root cp /etc/ssl/certs/ca-certificates.crt "$scratch/root/etc/ssl/certs/ca-certificates.crt"
    # Lists, downloads, manuals: nothing that runs needs them.
    $as_root rm -rf "$scratch"/root/var/cache/apt/archives/*.deb "$scratch"/root/var/lib/apt/lists/* \
        "$scratch"/root/usr/share/doc/* "$scratch"/root/usr/share/man/* "$scratch"/root/usr/share/locale/* "$scratch"/root/var/log/*
    mkdir -p "$cache"
    $as_root tar -C "$scratch/root" -c . >"$archive.partial"
    mv "$archive.partial" "$archive"
fi
podman import --quiet --change 'CMD ["python3"]' "$archive" "$name" >/dev/null
echo "$name"
