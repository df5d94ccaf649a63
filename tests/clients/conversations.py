"""Long conversations: what must hold of one that has to move in its middle, and of one that must not move at all."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from case import Check, Transcript, said
from checks import serves
from world import OTHERS, OWNER, Pool, World

# Model calls of one conversation. The owner's limit is reached at the tenth.
TURNS = 20
BEFORE_THE_LIMIT = 9
# Prompts of a conversation over restarts, and the model calls that each makes.
PROMPTS = 3
CALLS = 7
# Why an account that has nothing left is left, whether it said so itself or rota saw it coming.
SPENT_REASONS = {"critical", "quota-exhausted", "rate-limited"}
# Reasoning of a lost account is left out; elsewhere than with Codex a provider's file has to say so.
SANITIZE = '[conversation]\non_owner_lost = "sanitize"\n'


@dataclass(frozen=True)
class Stay:
    """A run of requests at the same account."""

    account: str
    served: int
    refused: int


def moving_pool(provider: str, tool: str, arguments: str, changes: str = "") -> Pool:
    """Three accounts. The first one asked reaches its limit in the middle."""
    return Pool(provider, (OWNER, *OTHERS), _calling(tool, arguments, TURNS - 1), {OWNER: BEFORE_THE_LIMIT},
                changes=changes)


def steady_pool(provider: str, tool: str, arguments: str) -> Pool:
    """Three accounts that can all serve: there is no reason to move."""
    return Pool(provider, (OWNER, *OTHERS), _calling(tool, arguments, CALLS - 1))


def moves(besides: int | None = 0, sanitized: int | None = None) -> "Callable[[World, Transcript], Iterator[Check]]":
    """`besides`: requests that the client makes before its twenty calls and that cost nothing, such as the warming up of a
    WebSocket; None where it makes others, too, which is its own business.
    `sanitized`: replies that tell that reasoning was left out; None where nothing is to be left out.
    """

    def checks(world: World, seen: Transcript) -> Iterator[Check]:
        yield from serves(seen)
        stays = _stays(world)
        yield Check("it is on one account until that is spent, then on another one", _moved_once(stays, besides),
                    f"{stays}\n{said(seen.run)}")
        yield from _by_name(world)
        yield from _explained(world)
        heads = world.tap.heads()
        left_out = [status for status, lines in heads if "x-rota-sanitized: reasoning" in lines]
        if sanitized is not None:
            yield Check("replies tell where reasoning was left out", left_out == [200] * sanitized, f"{left_out}")
        refused = [status for status, _ in heads if status >= 400]
        yield Check("rota refuses the client nothing", not refused, f"{refused}\n{said(seen.run)}")

    return checks


def stays(world: World, seen: Transcript) -> Iterator[Check]:
    """Several prompts, and a restart of rota before each but the first; all of them at the same account."""
    yield from serves(seen)
    # By name where the client has one, for the warming up of a fork's WebSocket holds nothing yet and may go anywhere.
    book = world.assertions()["conversations"]
    named = [Stay(stay["account"], stay["requests"], stay["refused"]) for found in book.values() for stay in found]
    found = named or _stays(world)
    calls = sum(stay.served for stay in found)
    yield Check("it is at the same account after each restart",
                len({stay.account for stay in found}) == 1 and not any(stay.refused for stay in found)
                and calls >= PROMPTS * CALLS, f"{found}\n{said(seen.run)}")
    yield from _by_name(world)


def _calling(tool: str, arguments: str, times: int) -> dict:
    return {"tools": [{"name": tool, "arguments": arguments, "times": times}]}


def _stays(world: World) -> list[Stay]:
    """In the order of the upstream's recorder. Opening a WebSocket is no model call."""
    found: list[Stay] = []
    for request in world.upstream_requests():
        if request["method"] == "GET":
            continue
        served = request["status"] == 200
        if found and found[-1].account == request["account"]:
            last = found.pop()
            found.append(Stay(last.account, last.served + served, last.refused + (not served)))
        else:
            found.append(Stay(request["account"], int(served), int(not served)))
    return found


def _moved_once(found: list[Stay], besides: int | None) -> bool:
    if len(found) != 2:
        return False
    first, second = found
    calls = first.served + second.served
    whole = calls >= TURNS if besides is None else calls == TURNS + besides
    return (first.account == OWNER and first.served == BEFORE_THE_LIMIT + (besides or 0) and first.refused <= 1
            and second.account in OTHERS and second.refused == 0 and whole)


def _by_name(world: World) -> Iterator[Check]:
    """The fake's own book of conversations, for clients that name theirs: each moved only where it was refused."""
    book = world.assertions()["conversations"]
    wandered = {name: found for name, found in book.items()
                if any(stay["refused"] == 0 and stay["requests"] < BEFORE_THE_LIMIT for stay in found[:-1])
                or len({stay["account"] for stay in found}) != len(found)}
    yield Check("no conversation leaves an account that could serve, or comes back", not wandered, json.dumps(book))


def _explained(world: World) -> Iterator[Check]:
    """The decision that moved it names the account that it left, why, and the one that it went to."""
    # The opening of a WebSocket goes where its conversation is, and one that only tells a client to open another serves
    # nobody: what was asked over them is what counts.
    decisions = [decision for decision in world.decisions() if decision["method"] != "GET"]
    moved = [decision for decision in decisions if _left(decision) in SPENT_REASONS]
    detail = json.dumps(decisions, indent=1)
    yield Check("one decision moved it, and names the account that it left and the reason", len(moved) == 1, detail)
    for decision in moved:
        text = world.rota("why", decision["requestId"])
        # Over a WebSocket it moves with the next one: this one told the client to open another.
        here = [OWNER, _left(decision)] + [alias for alias in [decision["selectedAlias"]] if decision["outcome"] == "served"]
        yield Check("rota why says it in words", all(word in text for word in here), text)
    stuck = {decision["why"] for decision in decisions[1:] if decision not in moved and decision["outcome"] == "served"}
    yield Check("every other call is where it is because of its conversation", stuck <= {"session", "owner"},
                f"{stuck}\n{detail}")


def _left(decision: dict) -> str | None:
    """Why the conversation's first account does not serve it: it refused, or it was not asked any more."""
    if [attempt["alias"] for attempt in decision["attempts"]][:1] == [OWNER]:
        return decision["fallbackReason"]
    return decision["reasons"].get(OWNER, {}).get("reason")
