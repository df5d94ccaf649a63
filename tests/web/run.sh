#!/usr/bin/env bash
# The dashboard's tests. Needs `cargo build --workspace`, node, `npm ci --prefix tests/web`, and Chromium.
#   tests/web/run.sh            all tests; ROUNDS=5: five times in a row, ending at the first failure
#   tests/web/run.sh NAME...    those files only: `overview` is overview.test.mjs
#   tests/web/run.sh --load     fifty accounts and a hundred decisions a second for a minute
#   tests/web/run.sh --pictures the pictures of docs/ anew
#   tests/web/run.sh --full     all of it, five times in a row what is not a picture or a load
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

rounds() {
  local round
  for ((round = 1; round <= $1; round++)); do
    printf '=== round %s of %s\n' "$round" "$1"
    run unit/*.test.mjs ./*.test.mjs
  done
}

case ${1-} in
  "") rounds "${ROUNDS:-1}" ;;
  --load) run load.mjs ;;
  --pictures) run screenshots.mjs ;;
  --full)
    rounds "${ROUNDS:-5}"
    run load.mjs
    run screenshots.mjs
    ;;
  *) run "${@/%/.test.mjs}" ;;
esac
