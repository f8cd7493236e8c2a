#!/usr/bin/env bash
# Event auth and state resolution beside Synapse's: a slice of `pnpm campaign oracle`, other rooms for each commit.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec pnpm -s campaign oracle --dags 2000 --seed "$(git rev-parse HEAD 2>/dev/null || echo 1)"
