"""What a client makes of each state that the pool can be in: it is told once, and does the right thing."""

import json
from collections.abc import Callable, Iterator

from case import Case, Check, Transcript, said
from world import FRESH, OTHERS, OWNER, SPENT, Pool, World

EVERYBODY = (OWNER, *OTHERS)
# Some clients try again for minutes. What they do in this many seconds tells enough.
PATIENCE = 30
BAD_KEY = '{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}'
DEAD = {
    "codex": {"named": "token_invalidated"},
    "openai": {"named": "invalid_api_key"},
    "anthropic": {"reply": {"status": 401, "body": BAD_KEY}},
}
# A refusal inside a stream, after its first event, in each dialect.
RATE = {"code": "rate_limit_exceeded", "message": "Rate limit reached. Please try again in 20s."}
IN_BAND = {
    "responses": {"type": "response.failed", "response": {"id": "resp_x", "status": "failed", "output": [], "error": RATE}},
    "messages": {"type": "error", "error": {"type": "rate_limit_error", "message": "Too many requests."}},
}


def limited(provider: str) -> Pool:
    """Nobody has anything left."""
    return Pool(provider, EVERYBODY, quotas=dict.fromkeys(EVERYBODY, 0), patience=PATIENCE)


def signed_out(provider: str) -> Pool:
    """Nobody's credential is good any more. Two accounts: of a subscription a third is not shown to the provider then."""
    return Pool(provider, EVERYBODY[:2], faults=({"do": [DEAD[provider]]},))


def down(provider: str) -> Pool:
    """The provider is down, for everybody."""
    fault = {"do": [{"reply": {"status": 503, "body": '{"error":{"message":"Down."}}'}}]}
    return Pool(provider, EVERYBODY, faults=(fault,), patience=PATIENCE)


def refuses_in_band(provider: str, dialect: str) -> Pool:
    """The first account's stream begins, and then says that there is nothing left."""
    fault = {"when": {"account": SPENT}, "do": [{"in_band": {"event": IN_BAND[dialect], "after": 1}}]}
    return Pool(provider, (SPENT, FRESH), faults=(fault,))


def stops(requests: int, *words: str) -> "Callable[[World, Transcript], Iterator[Check]]":
    """The client ends with an error after at most so many requests, and shows these words."""

    def checks(world: World, seen: Transcript) -> Iterator[Check]:
        shown = seen.run.stdout + seen.run.stderr
        yield Check("it ends with an error", seen.run.exit_code != 0 and not seen.text, said(seen.run))
        for word in words:
            yield Check(f"it shows {word!r}", word in shown, said(seen.run))
        yield from _counted(world, seen, requests)
        heads = world.tap.heads()
        waits = [lines for _, lines in heads if "retry-after" in lines]
        yield Check("rota tells it to wait for nothing, and not to try again",
                    bool(heads) and not waits and all("x-should-retry: false" in lines for _, lines in heads), f"{heads}")

    return checks


def passes_on(requests: int) -> "Callable[[World, Transcript], Iterator[Check]]":
    """The provider's own error reaches the client, which may try again. rota does so once for each request."""

    def checks(world: World, seen: Transcript) -> Iterator[Check]:
        yield Check("it ends with an error", seen.run.exit_code != 0 and not seen.text, said(seen.run))
        tried = [len(decision["attempts"]) for decision in world.decisions()]
        yield Check(f"it makes no more than {requests} requests", 0 < len(tried) <= requests, f"{tried}\n{said(seen.run)}")
        yield Check("no request is sent more than twice", max(tried, default=0) <= 2, f"{tried}")

    return checks


def bounded(requests: int) -> "Callable[[World, Transcript], Iterator[Check]]":
    """A client that ignores every hint: whatever it does, no account is asked twice."""

    def checks(world: World, seen: Transcript) -> Iterator[Check]:
        yield Check("it has no answer", not seen.text, said(seen.run))
        yield from _counted(world, seen, requests)

    return checks


def states(client: str, provider: str, dialect: str, drive: "Callable[[World], Transcript]", shown: tuple[str, str],
           retries: int) -> list[Case]:
    """A client that obeys, in each state. It shows when it goes on by itself, and what a person has to do. `retries` are
    the requests it makes where its provider is down.
    """
    reset, sign_in = shown
    return [
        Case(f"{client}-limited", limited(provider), drive, stops(1, reset)),
        Case(f"{client}-signed-out", signed_out(provider), drive, stops(1, sign_in)),
        Case(f"{client}-down", down(provider), drive, passes_on(retries)),
        Case(f"{client}-in-band", refuses_in_band(provider, dialect), drive, _goes_on),
    ]


def _goes_on(world: World, seen: Transcript) -> Iterator[Check]:
    """The refusal came before the first word, so the client does not see it."""
    yield Check("it succeeds", seen.run.exit_code == 0 and bool(seen.text), said(seen.run))
    decisions = world.decisions()
    trails = [[attempt["alias"] for attempt in decision["attempts"]] for decision in decisions]
    reasons = [decision["fallbackReason"] for decision in decisions]
    yield Check("it asks once, and rota asks the next account", trails == [[SPENT, FRESH]] and reasons == ["rate-limited"],
                json.dumps(decisions, indent=1))


def _counted(world: World, seen: Transcript, requests: int) -> Iterator[Check]:
    decisions = world.decisions()
    asked = [decision for decision in decisions if decision["method"] == "POST"]
    yield Check(f"it makes no more than {requests} request{'s' * (requests > 1)}", 0 < len(asked) <= requests,
                f"{len(asked)}\n{said(seen.run)}")
    accounts = [request["account"] for request in world.upstream_requests()]
    yield Check("no account is asked twice", 0 < len(accounts) == len(set(accounts)), f"{accounts}")
