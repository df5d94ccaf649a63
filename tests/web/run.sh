#!/usr/bin/env bash
# The dashboard's tests. Needs `cargo build --workspace`, node, `npm ci --prefix tests/web`, and Chromium.
#   tests/web/run.sh            all tests, once
#   tests/web/run.sh --full     all tests five times in a row, the load test of a minute, the pictures of docs/
#   tests/web/run.sh NAME...    those files only: `overview` is overview.test.mjs
set -euo pipefail
cd "$(dirname "$0")"

# Said once, and not by every test.
node -e 'const [major, minor] = process.versions.node.split(".").map(Number); process.exit(major > 18 || (major === 18 && minor >= 19) ? 0 : 1)' || {
  echo "error: node is missing or older than 18.19; on Debian, as root: apt-get install nodejs npm" >&2
  exit 1
}
[ -d node_modules/playwright-core ] || {
  echo "error: what the tests use is missing; run: npm ci --prefix tests/web" >&2
  exit 1
}

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
