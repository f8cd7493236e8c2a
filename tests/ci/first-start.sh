#!/usr/bin/env bash
# README's first command on a clean clone, with empty stores and caches and no pnpm, Redis or PostgreSQL on PATH.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec pnpm -s exec node --disable-warning=ExperimentalWarning tests/load/first-start.ts --quick
