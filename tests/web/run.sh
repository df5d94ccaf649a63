#!/usr/bin/env bash
# The dashboard's tests. Needs `cargo build --workspace`, node, `npm ci --prefix tests/web`, and Chromium.
#   tests/web/run.sh            all tests, once
#   tests/web/run.sh --full     all tests five times in a row, the load test of a minute, the pictures of docs/
#   tests/web/run.sh NAME...    those files only: `overview` is overview.test.mjs
set -euo pipefail
cd "$(dirname "$0")"

run() {
  node --test --test-concurrency=2 --test-reporter=spec "$@"
}

case ${1-} in
  "") run unit/*.test.mjs ./*.test.mjs ;;
  --full)
    for round in 1 2 3 4 5; do
      printf '=== round %s of 5\n' "$round"
      run unit/*.test.mjs ./*.test.mjs
    done
    run load.mjs
    run screenshots.mjs
    ;;
  *) run "${@/%/.test.mjs}" ;;
esac
