#!/bin/sh
# Set up how git merges what a run makes, in this clone and its work trees. A folder that is no repository of its own is left alone.
set -eu
cd "$(dirname "$0")/.."
[ "$(git rev-parse --show-toplevel 2>/dev/null)" = "$(pwd -P)" ] || exit 0
cp tools/merge-lock "$(git rev-parse --git-common-dir)/hearth-merge-lock"
git config merge.made-lock.name "dvc.lock, stage by stage (docs/operations.md, Merge)"
driver='sh "$(git rev-parse --git-common-dir)/hearth-merge-lock" %O %A %B'
git config merge.made-lock.driver "$driver"
# Of several common versions git first makes one. What is left out there is nobody's business.
git config merge.made-lock.recursive made-lock-within
git config merge.made-lock-within.name "dvc.lock, stage by stage, in silence"
git config merge.made-lock-within.driver "$driver 2>/dev/null"
# Where both sides made an output of a run anew, the merged lock has no entry of that run: ours stays until `dvc repro` makes it.
git config merge.made-output.name "what dvc repro makes anew (docs/operations.md, Merge)"
git config merge.made-output.driver true
attributes="$(git rev-parse --git-path info/attributes)"
mkdir -p "$(dirname "$attributes")"
[ ! -s "$attributes" ] || [ -z "$(tail -c 1 "$attributes")" ] || echo >>"$attributes" # somebody's last line may have no end
for name in made-lock made-output; do
    line="[attr]$name merge=$name" # goes before the line in .gitattributes, by which git reports a conflict
    grep -qxF "$line" "$attributes" 2>/dev/null || echo "$line" >>"$attributes"
done
