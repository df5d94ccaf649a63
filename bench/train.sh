#!/usr/bin/env bash
# A release build whose code is laid out by what requests ran (profile-guided optimization): an instrumented rota serves
# the bench's rows, and what it counted goes into the second build. Both are below target/, and so is the result,
# target/trained/release/rota. About twenty minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."

tools=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin
if [ ! -x "$tools/llvm-profdata" ]; then
  echo "error: llvm-profdata of this rustc is missing: rustup component add llvm-tools" >&2
  exit 1
fi

counts=$PWD/target/training/counts
rm -rf "$counts"

cargo build --release --locked --package rota-proxy --package rota-bench --bin rota --bin rota-bench
RUSTFLAGS="-Cprofile-generate=$counts" \
  cargo build --release --locked --package rota-proxy --bin rota --target-dir target/training

# What build scripts and procedural macros counted.
rm -rf "$counts"
target/release/rota-bench run --rota target/training/release/rota --sittings 1 --seconds 0.3 --only cpu
if ! ls "$counts"/*.profraw >/dev/null 2>&1; then
  echo "error: the instrumented rota left no counts in $counts; did it serve?" >&2
  exit 1
fi
"$tools/llvm-profdata" merge --sparse --output "$counts/merged.profdata" "$counts"/*.profraw

# Cargo does not see that other counts stand in the same file.
rm -rf target/trained
RUSTFLAGS="-Cprofile-use=$counts/merged.profdata" \
  cargo build --release --locked --package rota-proxy --bin rota --target-dir target/trained
ls -l target/release/rota target/trained/release/rota
