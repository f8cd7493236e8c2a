#!/usr/bin/env bash
# Kills every process of `weft start --split` under load; see tests/chaos/chaos.ts.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec pnpm -s chaos
