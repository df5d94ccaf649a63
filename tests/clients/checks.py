"""What must hold for every client, and for one whose first account has nothing left."""

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from case import Case, Check, Transcript, said
from world import ANSWER, FRESH, NOTHING_LEFT, SPENT, World

# More decisions than any client here causes.
MOST = "200"


def findings(case: Case, world: World, seen: Transcript) -> Iterator[Check]:
    """Everything that is checked after a client has ended."""
    yield from case.checks(world, seen)
    yield from _credentials(world, seen)
    yield _metrics(world)
    violations = world.assertions()["violations"]
    yield Check("nothing came to an account that belongs to another", not violations, json.dumps(violations, indent=1))


def serves(seen: Transcript) -> Iterator[Check]:
    """The client did what it was started for."""
    yield Check("it succeeds", seen.run.exit_code == 0, said(seen.run))
    yield Check("the whole answer arrives", seen.text == ANSWER, f"got {seen.text!r}\n{said(seen.run)}")


def fails_over(requests: int | None = 1) -> "Callable[[World, Transcript], Iterator[Check]]":
    """The first account is spent, the next one serves, in one go. `requests` is how many the client makes of its own
    accord; None where that is its own business.
    """

    def checks(world: World, seen: Transcript) -> Iterator[Check]:
        yield from serves(seen)
        if seen.run.streamed is not None:
            yield Check("pieces arrive while the upstream still speaks", seen.run.streamed, said(seen.run))
        yield _upstream(world, requests)
        yield from _why(world, requests)
        page = world.metrics()
        yield Check("the failover is counted", "rota_failovers_total{" in page, page)

    return checks


def _upstream(world: World, requests: int | None) -> Check:
    order = [(request["account"], request["status"]) for request in world.upstream_requests()]
    if requests is None:
        asked = {status for account, status in order if account == SPENT}
        served = {status for account, status in order if account == FRESH}
        right = bool(order) and order[0][0] == SPENT and (asked, served) == ({429}, {200})
    else:
        right = order == [(SPENT, 429)] + [(FRESH, 200)] * requests
    return Check("the spent account is asked first, and the fresh one serves", right, f"upstream saw {order}")


def _credentials(world: World, seen: Transcript) -> Iterator[Check]:
    yield Check("no credential of the client reaches the upstream", not world.upstream_saw(world.client_key))
    shown = {"standard output": seen.run.stdout, "standard error": seen.run.stderr, "reply headers": seen.headers,
             "rota why": world.rota("why", "--latest", MOST), "rota status": world.rota("status"), "metrics": world.metrics()}
    leaks = [f"{alias}'s in {where}" for where, text in shown.items()
             for alias, key in world.keys.items() if _holds(text.encode(), key)]
    leaks += [f"{alias}'s in {file}" for file in _files(world)
              for alias, key in world.keys.items() if _holds(file.read_bytes(), key)]
    yield Check("no credential of the pool is seen outside the store", not leaks, "; ".join(leaks))


def _files(world: World) -> Iterator[Path]:
    """All that the client and rota left behind, but rota's store and the script of the fake, which hold the keys."""
    for file in world.home.rglob("*"):
        if file.is_file() and not file.is_symlink() and world.store not in file.parents and file != world.script:
            yield file


def _holds(data: bytes, key: str) -> bool:
    """Whether the key is there, as it is or inside anything base64: its three alignments, without their edges."""
    raw = key.encode()
    coded = [base64.b64encode(b"\0" * shift + raw)[4 if shift else 0:-4] for shift in range(3)]
    return any(form in data for form in (raw, *coded))


def _why(world: World, requests: int | None) -> Iterator[Check]:
    decisions = json.loads(world.rota("why", "--latest", MOST, "--json"))["decisions"]
    trails = [[attempt["alias"] for attempt in decision["attempts"]] for decision in decisions]
    detail = json.dumps(decisions, indent=1)
    reason = NOTHING_LEFT[world.provider].reason
    if requests is not None:
        yield Check("it asks rota once and does not have to ask again", len(decisions) == requests, detail)
    failover = [decision for decision, trail in zip(decisions, trails) if trail == [SPENT, FRESH]]
    explained = bool(failover) and all(
        decision["selectedAlias"] == FRESH and decision["fallbackReason"] == reason for decision in failover)
    yield Check("rota why --json names both accounts and the reason", explained, detail)
    text = world.rota("why", "--latest", MOST)
    yield Check("rota why says it in words", all(word in text for word in (SPENT, FRESH, reason)), text)


def _metrics(world: World) -> Check:
    """What Prometheus' own checker says of the page, now that there is something on it."""
    name = "promtool finds nothing wrong with the metrics"
    page = world.metrics()
    try:
        done = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        return Check(name, False, "there is no promtool; it is in the package prometheus")
    words = done.stdout + done.stderr
    return Check(name, done.returncode == 0 and not words, words + page)
