#!/usr/bin/env bash
# `promtool check metrics` on the page of a rota that has served, failed over and refused. Needs promtool.
set -euo pipefail
command -v promtool >/dev/null || { echo "promtool is not on PATH; it comes with Prometheus" >&2; exit 1; }
rota=$(realpath "${1:-target/debug/rota}")
dir=$(mktemp -d)
trap 'kill %1 %2 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
cd "$dir"
export XDG_CONFIG_HOME="$dir/config" XDG_STATE_HOME="$dir/state" ROTA_LISTEN=127.0.0.1:0 ROTA_ADMIN_LISTEN=127.0.0.1:0
field() { sed -E "s/.*\"$2\":\"([^\"]*)\".*/\1/" "$1"; }
there() { until [ -s "$1" ]; do kill -0 "$2"; read -rt 0.05 <> <(:) || true; done; }
printf '{"accounts":[{"id":"a","api_keys":["sk-a"],"quota":{"limit":1,"left":1}},{"id":"b","api_keys":["sk-b"],"quota":{"limit":2,"left":2}}]}' > script.json
"$rota" fake-upstream --script script.json > fake.json & there fake.json $!
ROTA_PROVIDERS__OPENAI__ORIGIN=$(field fake.json origin)
export ROTA_PROVIDERS__OPENAI__ORIGIN
for name in a b; do printf 'sk-%s' $name | "$rota" accounts add $name --provider openai --key-stdin; done
"$rota" serve --server-info info.json 2> log & there info.json $!
proxy=$(field info.json proxy)
admin=$(field info.json admin)
for _ in 1 2 3 4; do
  curl -sS -o /dev/null "http://$proxy/openai/v1/responses" -H 'content-type: application/json' -d '{"model":"gpt-5.1","input":"hi"}'
done
curl -sS "http://$admin/metrics" | promtool check metrics
