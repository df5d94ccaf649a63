# One target per task of a developer. `make` alone lists them; docs/TESTING.md says what each suite shows.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Tools that are not part of the toolchain are built once, below target/, in the version named here.
TOOLS := $(CURDIR)/target/tools
export PATH := $(TOOLS)/bin:$(PATH)

# For cargo-llvm-cov, where the toolchain has no llvm-tools component but Debian's llvm-19 is installed.
LLVM_19 := $(shell command -v llvm-cov-19)
ifneq ($(LLVM_19),)
export LLVM_COV ?= llvm-cov-19
export LLVM_PROFDATA ?= llvm-profdata-19
endif

.PHONY: help build test lint fmt doc demo ci reference requirements clients clients-full metrics-check image-test \
  api-check crash \
  refresh-race power-cuts renewals coverage mutants check-deny bench bench-quick cold-build perf-gate writers \
  perf-baseline perf-profile perf-build trained nightly

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

build: ## Build everything, for debugging
	cargo build --workspace --locked

test: ## Run the tests (README's second command)
	cargo test --workspace --locked

lint: ## What CI refuses: formatting, clippy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --test power-cuts --locked -- -D warnings

fmt: ## Format the code
	cargo fmt --all

doc: ## Build the documentation of the code; a broken link is an error
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked

demo: ## A failover seen with the eyes, offline (README's first command)
	cargo run --locked -- demo

ci: ## Everything CI does
	.ci/run

reference: ## Write the settings in docs/CONFIGURATION.md and config/rota.toml anew, from the code
	UPDATE=1 cargo test --locked --lib config::reference

requirements: ## Write docs/REQUIREMENTS.md anew, from the ids in the tests' comments
	UPDATE=1 cargo test --locked --test requirements

clients: build ## Real clients through rota: curl, the OpenAI and Anthropic SDKs, Codex
	python3 tests/clients/run.py

clients-full: build ## The same, and Claude Code, OpenCode, WebSockets, restarts
	python3 tests/clients/run.py --full

image-test: ## The container image without an engine (needs root)
	cargo build --release --locked --bin rota
	tests/image/run.sh target/release/rota

.PHONY: web web-full web-load web-pictures
web: build tests/web/node_modules ## The dashboard in real headless Chromium; ROUNDS=5: five times (needs node, npm, chromium)
	ROUNDS=$(or $(ROUNDS),1) tests/web/run.sh

web-full: build tests/web/node_modules ## The same five times in a row, a minute of load, and the pictures of docs/ anew
	tests/web/run.sh --full

web-load: build tests/web/node_modules ## Fifty accounts and a hundred decisions a second before the page, for a minute
	tests/web/run.sh --load

web-pictures: build tests/web/node_modules ## The dashboard's pictures in docs/ anew
	tests/web/run.sh --pictures

tests/web/node_modules: tests/web/package-lock.json
	npm ci --prefix tests/web --no-audit --no-fund
	@touch $@

metrics-check: build ## The metrics page of a rota that has served and failed over, by promtool
	tests/metrics-check.sh target/debug/rota

api-check: build ## The admin API against its OpenAPI document, by schemathesis
	python3 tests/api/check.py target/debug/rota

crash: ## Store and renewal under SIGKILL, failing syscalls and simulated power cuts, in full length (needs strace)
	ROTA_CRASH=full cargo test --release --locked --test crash -- --nocapture --skip race::

refresh-race: ## Drivers and a daemon renew one token, paused and killed: 2000 rotations, 500 pauses, 200 kills (needs strace)
	ROTA_CRASH=full cargo test --locked --test crash race:: -- --nocapture --test-threads=1

power-cuts: ## The power goes while a token is renewed, 500 times on each file system (needs root, loop devices, strace)
	@[ "$$(id -u)" -eq 0 ] || { echo "error: power cuts need root, for loop devices and mount: sudo make $@" >&2; exit 1; }
	cargo test --locked --test power-cuts power -- --nocapture --test-threads=1

writers: ## 64 writers change a thousand things each through the admin API while requests flow
	ROTA_WRITERS=full cargo test --release --locked --test it control::no_update -- --nocapture

renewals: ## A thousand requests at a token's end, a hundred times; 500 clients that leave
	ROTA_RENEWALS=full cargo test --locked --test it renewal:: -- --nocapture

coverage: ## Line coverage of the tests, as a table
	@command -v cargo-llvm-cov >/dev/null || cargo install --locked --quiet --root $(TOOLS) cargo-llvm-cov@0.9.1
	# What is instrumented writes its counts where two tests expect no file, so a failing test does not end it.
	cargo llvm-cov --workspace --locked --ignore-run-fail

mutants: ## Mutation tests of the rooms where a mistake costs most; hours
	@command -v cargo-mutants >/dev/null || cargo install --locked --quiet --root $(TOOLS) cargo-mutants@27.1.0
	cargo mutants --package rota-proxy --file 'src/engine/**' --file 'src/store/**' --file 'src/auth/**' \
	  --output target/mutants -- --locked --lib

bench: ## What rota costs beside nginx, haproxy and a bare forwarder (Debian: nginx-light haproxy)
	cargo build --release --locked --package rota-proxy --package rota-bench --bin rota --bin rota-bench
	target/release/rota-bench run $(ARGS)

bench-quick: ## The same in a few minutes, with fewer and shorter visits
	cargo build --profile perf --locked --package rota-proxy --package rota-bench --bin rota --bin rota-bench
	target/perf/rota-bench run --sittings 2 --seconds 0.5 $(ARGS)

trained: ## A release build shaped by the bench's own requests: target/trained/release/rota (rustup component add llvm-tools)
	bench/train.sh

cold-build: ## A release build from nothing, by the clock and by processor time; the binary's size
	cargo fetch --locked
	rm -rf target/cold
	time CARGO_INCREMENTAL=0 cargo build --release --locked --offline --bin rota --target-dir target/cold
	ls -l target/cold/release/rota

perf-gate: perf-build ## Instructions and allocations per request against bench/baseline.toml, 3 % margin (needs valgrind)
	target/perf/rota-bench counts --gate bench/baseline.toml $(ARGS)

perf-baseline: perf-build ## Move that baseline to what is counted now; say why in the commit
	target/perf/rota-bench counts --write bench/baseline.toml $(ARGS)

perf-profile: ## Where the instructions of a request go, by crate and by function
	CARGO_PROFILE_PERF_DEBUG=line-tables-only $(MAKE) perf-build
	target/perf/rota-bench counts --profile --only request $(ARGS)

perf-build:
	@command -v valgrind >/dev/null || { echo "error: valgrind is missing; as root: apt-get install valgrind" >&2; exit 1; }
	@# An incremental build inlines otherwise: its figures are 5 to 30 % higher.
	CARGO_INCREMENTAL=0 cargo build --profile perf --locked --package rota-proxy --package rota-bench --bin rota --bin rota-bench

check-deny: ## Banned crates, licences, sources
	@command -v cargo-deny >/dev/null || cargo install --locked --quiet --root $(TOOLS) cargo-deny@0.20.2
	cargo deny --workspace check bans licenses sources

nightly: lint test doc crash refresh-race power-cuts renewals writers clients-full api-check metrics-check image-test check-deny web-full perf-gate coverage mutants ## All of it; hours
