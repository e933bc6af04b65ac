#!/bin/sh
# Make the outputs of another commit: its road runs in a work tree of its own, and what it makes lands in this one's DVC
# cache. What is in the cache already is not run again. `sh tools/road_of.sh main`, then `hearth compare` can read them.
set -eu
[ $# -eq 1 ] || { echo "usage: sh tools/road_of.sh REVISION" >&2; exit 2; }
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
cache=$(dvc cache dir)
scratch=$(mktemp -d)
tree="$scratch/road"
trap 'git worktree remove --force "$tree" 2>/dev/null; rm -rf "$scratch"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
git worktree add --quiet --detach "$tree" "$1"
cd "$tree"
dvc config --quiet --local cache.dir "$cache"
for source in data/source/*.dvc; do
  [ ! -e "$source" ] || dvc checkout --quiet "$source" 2>/dev/null || dvc pull --quiet --remote sample "$source" ||
    dvc pull --quiet "$source"
done
# The stages refuse to run the code of another checkout, which an editable install would give them.
PYTHONPATH="$tree/src" dvc repro
[ -z "$(git status --porcelain)" ] || { echo "note: $1 does not make what its dvc.lock names; compare may lack files." >&2; }
