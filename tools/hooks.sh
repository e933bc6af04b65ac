#!/bin/sh
# Install tools/pre-push as this clone's pre-push hook; leave somebody else's hook alone.
set -eu
cd "$(dirname "$0")/.."
hook="$(git rev-parse --git-path hooks)/pre-push"
if [ -e "$hook" ] && ! grep -q "hearth pushed --hook" "$hook"; then
    echo "error: there is another hook in $hook; let it call \`hearth pushed --hook\` first, as tools/pre-push does, with its own standard input." >&2
    exit 1
fi
mkdir -p "$(dirname "$hook")"
cp tools/pre-push "$hook"
chmod 755 "$hook"
echo "\`git push\` now refuses commits whose data is on no DVC remote ($hook)."
