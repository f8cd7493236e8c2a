#!/usr/bin/env bash
# Scrapes every process of `weft start --split` with a real Prometheus; see tests/prometheus/check.ts.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec pnpm exec node --disable-warning=ExperimentalWarning tests/prometheus/check.ts
