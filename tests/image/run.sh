#!/usr/bin/env bash
# Tests the container image without a container engine: tests/image/run.sh [BINARY]
#
# It builds the image's root with packaging/rootfs.sh, exactly as the Dockerfile does, and runs it by chroot as the
# image's user, with the image's environment. Needs root (for chroot). BINARY is target/debug/rota unless named.
set -euo pipefail

top=$(cd "$(dirname "$0")/../.." && pwd)
binary=${1:-$top/target/debug/rota}
dockerfile=$top/Dockerfile
uid=65532

if [ "$(id -u)" -ne 0 ]; then
  echo "error: the image test uses chroot and needs root; run: sudo tests/image/run.sh" >&2
  exit 1
fi
if [ ! -x "$binary" ]; then
  echo "error: there is no binary at $binary; run: cargo build --locked" >&2
  exit 1
fi

work=$(mktemp -d)
root=$work/root
info=$root/var/lib/rota/server.json
daemon=
upstream=

cleanup() {
  [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
  [ -z "$upstream" ] || kill "$upstream" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

passed=0
failed=0

# check NAME COMMAND...: one line of the report.
check() {
  local name=$1
  shift
  if "$@"; then
    passed=$((passed + 1))
    echo "ok      $name"
  else
    failed=$((failed + 1))
    echo "FAILED  $name"
  fi
}

# The environment of the image, read from the Dockerfile, so that the two cannot drift.
mapfile -t image_env < <(awk '/^ENV HOME/,!/\\$/' "$dockerfile" | sed -e 's/^ENV //' -e 's/\\$//' | tr -s ' ' '\n' | grep '=')

# in_image NAME=VALUE... -- ARGUMENTS...: sets `line` to rota as the image runs it, with settings added to its environment.
in_image() {
  line=(env -i "${image_env[@]}")
  while [ "$1" != -- ]; do
    line+=("$1")
    shift
  done
  shift
  line+=("$(command -v chroot)" --userspec="$uid:$uid" --groups= "$root" /usr/bin/rota "$@")
}

# ends_with CODES TEXT NAME=VALUE... -- ARGUMENTS...: rota ends with one of those exit codes and says TEXT.
ends_with() {
  local codes=$1 text=$2 code=0 said
  shift 2
  in_image "$@"
  said=$(timeout 20 "${line[@]}" 2>&1 </dev/null) || code=$?
  if [[ " $codes " != *" $code "* ]] || ! grep -qF -- "$text" <<<"$said"; then
    printf '  expected exit %s and the text "%s"; it was exit %s:\n' "$codes" "$text" "$code"
    sed 's/^/  /' <<<"$said"
    return 1
  fi
}

# json FILE KEY: one string or number of a flat JSON object.
json() {
  grep -oE "\"$2\": *(\"[^\"]*\"|[0-9]+)" "$1" | sed -E 's/^"[^"]*": *"?//; s/"$//'
}

only_rota_and_the_loader_can_be_executed_by_name() {
  local extra
  extra=$(cd "$root" && find . -type f -perm /111 ! -path ./usr/bin/rota ! -name '*.so*')
  [ -z "$extra" ] || { echo "  also executable: $extra"; return 1; }
}

only_the_volume_is_writable() {
  local writable
  writable=$(cd "$root" && setpriv --reuid "$uid" --regid "$uid" --clear-groups find . -writable ! -type l)
  [ "$writable" = ./var/lib/rota ] || { echo "  writable: $writable"; return 1; }
}

dockerfile_uses_this_root() {
  grep -q 'packaging/rootfs.sh target/release/rota /rootfs' "$dockerfile" &&
    grep -qx 'COPY --from=build /rootfs /' "$dockerfile" &&
    grep -qx "USER $uid:$uid" "$dockerfile"
}

dockerfile_builds_with_the_oldest_toolchain() {
  local version
  version=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' "$top/Cargo.toml")
  grep -qx "FROM rust:$version-bookworm AS build" "$dockerfile" && grep -qx "ENV RUSTUP_TOOLCHAIN=$version.0" "$dockerfile"
}

# serve_starts NAME=VALUE...: starts rota on free ports with these settings, and waits until it has written where.
serve_starts() {
  rm -f "$info"
  in_image ROTA_ADMIN_LISTEN=127.0.0.1:0 "$@" -- serve --server-info /var/lib/rota/server.json
  "${line[@]}" >"$work/serve.log" 2>&1 </dev/null &
  daemon=$!
  appears "$info" "$daemon" || { sed 's/^/  /' "$work/serve.log"; return 1; }
}

# appears FILE PID: waits until the file has something in it; in vain where the process has ended.
appears() {
  local _
  for _ in $(seq 150); do
    [ ! -s "$1" ] || return 0
    kill -0 "$2" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
}

# Outside of the image, as a provider is: a fake upstream that knows one key.
an_upstream_starts() {
  echo '{"accounts":[{"id":"a","api_keys":["sk-image"]}]}' >"$work/fake.json"
  "$binary" fake-upstream --script "$work/fake.json" >"$work/fake.log" 2>&1 </dev/null &
  upstream=$!
  appears "$work/fake.log" "$upstream" || { sed 's/^/  /' "$work/fake.log"; return 1; }
}

an_account_is_added_in_the_image() {
  local said
  in_image -- accounts add work --provider openai --key-stdin
  said=$("${line[@]}" 2>&1 <<<sk-image) || { sed 's/^/  /' <<<"$said"; return 1; }
}

it_runs_as_the_images_user() {
  [ "$(awk '/^(Uid|Gid):/ { print $2, $3, $4, $5 }' "/proc/$daemon/status" 2>/dev/null | sort -u)" = "$uid $uid $uid $uid" ]
}

its_state_is_private() {
  local open
  open=$(find "$root/var/lib/rota" \( -perm /077 -o ! -uid "$uid" \) ! -name server.json)
  [ -z "$open" ] || { echo "  readable by others, or of another owner: $open"; return 1; }
}

healthcheck_ends_with() {
  ends_with "$1" "" "ROTA_ADMIN_LISTEN=$admin" -- healthcheck
}

# status URL ARGUMENTS...: the status curl gets.
status() {
  curl --silent --output /dev/null --write-out '%{http_code}' "$@" || true
}

# Whoever asks: beyond loopback the kernel does not know whose process is at the other end. This one is root's.
serves_whoever_has_the_client_key() {
  local url without wrong with
  url=http://127.0.0.1:$(json "$info" proxy | sed 's/.*://')/openai/v1/models
  without=$(status "$url")
  wrong=$(status --header "authorization: Bearer x$client_key" "$url")
  with=$(status --header "authorization: Bearer $client_key" "$url")
  if [ "$without $wrong $with" != "401 401 200" ]; then
    echo "  without a key $without, with a wrong one $wrong, with the right one $with"
    return 1
  fi
}

stops_by_sigterm_with_exit_code_0() {
  kill -TERM "$daemon" 2>/dev/null || { echo "  it does not run"; return 1; }
  local code=0
  wait "$daemon" || code=$?
  daemon=
  [ "$code" -eq 0 ] || { echo "  exit $code"; sed 's/^/  /' "$work/serve.log"; return 1; }
}

"$top/packaging/rootfs.sh" "$binary" "$root"
echo "root: $(find "$root" -type f | wc -l) files, $(du -sm "$root" | cut -f1) MB"

check "the Dockerfile copies the root this test runs, and its user" dockerfile_uses_this_root
check "the Dockerfile builds with the oldest toolchain that Cargo.toml allows" dockerfile_builds_with_the_oldest_toolchain
check "nothing but rota and its libraries can be executed" only_rota_and_the_loader_can_be_executed_by_name
check "nothing but the volume is writable" only_the_volume_is_writable
check "a first run needs no file: serve starts" serve_starts ROTA_LISTEN=127.0.0.1:0
admin=$(json "$info" admin || true)
check "it runs as $uid, with no other identity" it_runs_as_the_images_user
check "what it wrote is its own and private" its_state_is_private
check "healthcheck passes while it runs" healthcheck_ends_with 0
check "SIGTERM ends it with exit code 0" stops_by_sigterm_with_exit_code_0
check "healthcheck fails when it has stopped" healthcheck_ends_with "1 3"

# Beyond loopback: never by `listen`, and by `container_bind` only with a client key and a consent.
free=127.0.0.1:0
wide=0.0.0.0:0
consent=ROTA_ALLOW_NON_LOOPBACK=1
client_key=$(head -c 24 /dev/urandom | base64 | tr -d '+/=')
install -o "$uid" -g "$uid" -m 0600 /dev/stdin "$root/var/lib/rota/client-keys" <<<"$client_key"
keys=ROTA_CLIENT_KEYS_FILE=/var/lib/rota/client-keys
refused() {
  ends_with 78 NON_LOOPBACK_BIND "$@" -- serve
}
check "listen beyond loopback is refused" refused ROTA_LISTEN=$wide ROTA_ADMIN_LISTEN=$free $consent "$keys"
check "admin_listen beyond loopback is refused" refused ROTA_LISTEN=$free ROTA_ADMIN_LISTEN=$wide $consent "$keys"
check "container_bind is refused without any opt-in" refused ROTA_CONTAINER_BIND=$wide ROTA_ADMIN_LISTEN=$free
check "container_bind is refused without a client key" refused ROTA_CONTAINER_BIND=$wide ROTA_ADMIN_LISTEN=$free $consent
check "container_bind is refused without consent" refused ROTA_CONTAINER_BIND=$wide ROTA_ADMIN_LISTEN=$free "$keys"
check "an account is added in the image" an_account_is_added_in_the_image
an_upstream_starts
origin=ROTA_PROVIDERS__OPENAI__ORIGIN=$(json "$work/fake.log" origin)
check "container_bind with both starts" serve_starts ROTA_CONTAINER_BIND=$wide $consent "$keys" "$origin"
check "and then it serves whoever has the key: 401, 401, 200" serves_whoever_has_the_client_key
check "and SIGTERM ends it with exit code 0" stops_by_sigterm_with_exit_code_0

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
