#!/usr/bin/env bash
# What `weft routes` prints for nginx and HAProxy, taken and run by both.
set -euo pipefail
cd "$(dirname "$0")/../.."

missing=()
command -v nginx >/dev/null || missing+=(nginx-light)
command -v haproxy >/dev/null || missing+=(haproxy)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ]; then
    echo "install ${missing[*]} first: only root can do that here" >&2
    exit 1
  fi
  apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
fi

exec pnpm -s exec node --disable-warning=ExperimentalWarning tests/proxies/routes.ts
