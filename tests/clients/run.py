#!/usr/bin/env python3
"""Drives real clients through rota to the fake upstream: accounts that are spent, conversations that have to move.

    python3 tests/clients/run.py            curl, the OpenAI and Anthropic SDKs, Codex
    python3 tests/clients/run.py --full     and Claude Code, OpenCode, WebSockets, restarts, every state of the pool

Needs `cargo build --workspace`, curl, npm and Python's venv. Clients are installed below target/clients.
"""

import argparse
import sys
from pathlib import Path

import install
from case import Case
from cases import claude_code, codex, curl, opencode, python_sdks
from checks import findings
from world import Broken

SHORT = [*curl.CASES, *python_sdks.CASES, *codex.CASES, *codex.ENDINGS, *codex.TURNS, *python_sdks.TURNS,
         *codex.STATES[:1], *python_sdks.STATES[:1]]
FULL = [*SHORT, *codex.STATES[1:], *python_sdks.STATES[1:], *python_sdks.RESTARTS, *codex.LONG,
        *claude_code.CASES, *claude_code.ENDINGS, *claude_code.LONG, *claude_code.STATES, *opencode.CASES, *opencode.LONG, *opencode.STATES]


def main() -> int:
    asked = _arguments()
    cases = [case for case in (FULL if asked.full or asked.only else SHORT) if not asked.only or case.name in asked.only]
    passed = failed = 0
    for case in cases:
        good, bad = _run(case, asked.bin)
        passed, failed = passed + good, failed + bad
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Real clients through rota to the fake upstream.")
    parser.add_argument("--full", action="store_true", help="drive every client there is, in every case")
    parser.add_argument("--only", action="append", choices=[case.name for case in FULL], help="drive this one (repeatable)")
    parser.add_argument("--bin", type=Path, default=install.TOP / "target" / "debug",
                        help="where rota and rota-fake-upstream are (default: target/debug)")
    asked = parser.parse_args()
    for program in ("rota", "rota-fake-upstream"):
        if not (asked.bin / program).exists():
            parser.error(f"there is no {asked.bin / program}; run: cargo build --workspace --locked")
    return asked


def _run(case: Case, binaries: Path) -> tuple[int, int]:
    """Drives one client; how many checks passed and failed."""
    home = install.BASE / "run" / case.name
    good = bad = 0
    try:
        with case.world(case.pool, home, binaries / "rota", binaries / "rota-fake-upstream") as world:
            for check in findings(case, world, case.drive(world)):
                print(f"{'ok    ' if check.true else 'FAILED'}  {case.name}: {check.name}", flush=True)
                good, bad = good + check.true, bad + (not check.true)
                if not check.true and check.detail:
                    print("        " + check.detail.strip().replace("\n", "\n        "), flush=True)
    except (Broken, install.Missing) as why:
        print(f"FAILED  {case.name}: {why}", flush=True)
        bad += 1
    if bad:
        print(f"        everything it left behind is in {home}", flush=True)
    return good, bad


if __name__ == "__main__":
    sys.exit(main())
