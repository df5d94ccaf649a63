#!/usr/bin/env bash
# The dashboard's tests. Needs `cargo build --workspace`, node, `npm ci --prefix tests/web`, and Chromium.
#   tests/web/run.sh            all tests
#   tests/web/run.sh NAME...    those files only: `overview` is overview.test.mjs
set -euo pipefail
cd "$(dirname "$0")"
files=("${@/%/.test.mjs}")
if [ $# -eq 0 ]; then
  files=(unit/*.test.mjs ./*.test.mjs)
fi
exec node --test --test-concurrency=1 --test-reporter=spec "${files[@]}"
