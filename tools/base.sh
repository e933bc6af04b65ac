#!/bin/sh
# Make a base image for `make image` without any registry: a minimal Debian 12 with its Python 3.11, by debootstrap.
# Two minutes and a root's rights; the archive is kept for a month in the cache folder, its import takes seconds.
# For trials, tests and closed networks: it has Debian's main suite only. Where a registry can be reached, a published
# python:3.11-slim, named by its digest, gets security updates sooner.
set -eu
name="${1:-localhost/hearth-base:bookworm}"
cache="${XDG_CACHE_HOME:-$HOME/.cache}/hearth"
archive="$cache/bookworm-$(dpkg --print-architecture).tar"
for program in debootstrap podman; do
    command -v $program >/dev/null || PATH="$PATH:/usr/sbin:/sbin"
    command -v $program >/dev/null || { echo "error: $program is missing; install the package $program." >&2; exit 1; }
done
if [ "$(id -u)" = 0 ]; then as_root=""; else as_root="sudo -n"; fi
if [ -z "$(find "$archive" -mtime -30 2>/dev/null)" ]; then
    scratch="$(mktemp -d)"
    trap '$as_root rm -rf "$scratch"' EXIT
    echo "making a minimal Debian (two minutes, once)" >&2
    $as_root debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$scratch/tree" \
        ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} >"$scratch/log" 2>&1 || { tail -n 5 "$scratch/log" >&2; exit 1; }
    # What this machine trusts, so that pip works behind a company's own certificate too.
    [ ! -f /etc/ssl/certs/ca-certificates.crt ] ||
        $as_root cp /etc/ssl/certs/ca-certificates.crt "$scratch/tree/etc/ssl/certs/ca-certificates.crt"
    # Lists, downloads, manuals: nothing that runs needs them.
    for folder in var/cache/apt/archives var/lib/apt/lists var/log usr/share/doc usr/share/man usr/share/locale; do
        $as_root find "$scratch/tree/$folder" -mindepth 1 -delete
    done
    mkdir -p "$cache"
    $as_root tar -C "$scratch/tree" -c . >"$archive.partial"
    mv "$archive.partial" "$archive"
fi
podman import --quiet --change 'CMD ["python3"]' "$archive" "$name" >/dev/null
echo "$name"
