#!/usr/bin/env bash
# Talks to a server as its users run it through matrix-js-sdk and matrix-nio, in both layouts. Options: --layout single|split and
# --client matrix-js-sdk|matrix-nio leave the others out. The last line is `N passed, N failed`.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ ! -e node_modules/matrix-js-sdk ]; then
  npx -y "$(node -p "require('./package.json').packageManager")" install --frozen-lockfile
fi
node=node_modules/node-$(node -p '`${process.platform}-${process.arch}`')/bin/node
[ -x "$node" ] || node=node
# In the place of this shell: signals reach the one that ends what it started.
exec "$node" --disable-warning=ExperimentalWarning tests/interop/run.ts "$@"
