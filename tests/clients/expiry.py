"""A world in which the only account's token ends in the middle of a prompt, and what must hold after it.

The model calls a tool once before it answers, so a prompt is two requests at least. The upstream holds the first reply
back in its middle until the token has ended.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial

from case import Case, Check, Transcript
from checks import serves
from world import ANSWER, GATE, PIECES, START_SECONDS, Pool, World, fetch

ONLY = "only"
# How long a token lives whose end is known: long enough for a client to start and send its first request.
LIFETIME = 20
# Where the models are, and where tokens are renewed.
PATHS = {
    "anthropic": ("/v1/messages", "/v1/oauth/token"),
    "codex": ("/backend-api/codex/responses", "/oauth/token"),
}


@dataclass
class EndingWorld(World):
    """One account, whose token ends while the first reply is under way."""

    # The tool that the model calls, and its arguments: one that the client has, and may use without asking.
    tool: tuple[str, dict] = ("", {})
    # Whether rota knows when the token ends, or finds out because it is refused.
    known: bool = True
    ends: int = 0
    ender: threading.Thread | None = None
    problem: list[str] = field(default_factory=list)

    def end_in_the_middle(self) -> None:
        """To be called before the client starts."""
        path, _ = PATHS[self.provider]
        self._tell("faults", {"when": {"path": path, "times": 1}, "do": [{"stall_after": {"events": 1, "gate": GATE}}]})
        self.ender = threading.Thread(target=self._end, daemon=True)
        self.ender.start()

    def sent(self) -> list[tuple[str, int | None]]:
        """Requests to the models: with which credential, and what came of it."""
        path, _ = PATHS[self.provider]
        requests = [one for one in self.upstream_requests() if one["path"].split("?")[0] == path]
        return [(dict(one["headers"]).get("authorization", ""), one["status"]) for one in requests]

    def ledger(self) -> dict:
        """What the token endpoint has done."""
        return json.loads(fetch(f"{self.upstream}/__fake/ledger"))

    def note_new_tokens(self) -> None:
        """The tokens that came by renewals belong to the pool too."""
        accounts = json.loads(fetch(f"{self.upstream}/__fake/accounts"))
        tokens = [held["token"] for account in accounts
                  for held in account["access_tokens"] + account["refresh_tokens"]]
        self.keys |= {f"token {number}": token for number, token in enumerate(tokens)}

    def _end(self) -> None:
        deadline = time.monotonic() + 2 * START_SECONDS
        while not any(status for _, status in self.sent()):
            if time.monotonic() > deadline:
                self.problem.append("the client sent nothing")
                break
            time.sleep(0.02)
        if self.known:
            time.sleep(max(0.0, self.ends + 1 - time.time()))
        else:
            # The provider ends it sooner than it said.
            ended = {"token": self.keys[ONLY], "expires_at": 1, "family": 1}
            self._tell("accounts", {"id": ONLY, "access_tokens": [ended]})
        self.release_replies()

    def _start_fake(self) -> None:
        self.ends = int(time.time()) + (LIFETIME if self.known else 3600)
        super()._start_fake()

    def _write_script(self) -> None:
        name, arguments = self.tool
        access = {"token": self.keys[ONLY], "expires_at": self.ends, "family": 1}
        refresh = {"token": f"{self.keys[ONLY]}-refresh", "family": 1}
        account = {"id": ONLY, "access_tokens": [access], "refresh_tokens": [refresh]}
        script = {"text": ANSWER, "deltas": PIECES, "accounts": [account],
                  "tools": [{"name": name, "arguments": json.dumps(arguments)}]}
        self.write(self.script.name, json.dumps(script))

    def _provider_settings(self, provider: str) -> str:
        text = super()._provider_settings(provider)
        if provider in PATHS:
            text += f'token_url = "{self.upstream}{PATHS[provider][1]}"\n'
        return text

    def _add_accounts(self) -> None:
        expires = datetime.fromtimestamp(self.ends, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        credential = {"kind": "oauth", "accessToken": self.keys[ONLY], "refreshToken": f"{self.keys[ONLY]}-refresh",
                      "accountId": f"org-{ONLY}", "expiresAt": expires}
        file = self.write(f"{ONLY}.json", json.dumps(credential))
        self.rota("accounts", "add", ONLY, "--provider", self.provider, "--credential-file", str(file))
        file.unlink()


def notices_nothing(world: EndingWorld, seen: Transcript) -> Iterator[Check]:
    """The client has noticed nothing."""
    yield from serves(seen)
    yield Check("its token has ended in the middle", not world.problem, f"{world.problem}")
    sent = world.sent()
    tokens = list(dict.fromkeys(token for token, _ in sent))
    in_turn = [token for token, status in sent if status == 200]
    right = len(tokens) == 2 and in_turn == sorted(in_turn, key=tokens.index) and set(in_turn) == set(tokens)
    yield Check("the old token serves before its end, and the new one after it", right, f"upstream saw {sent}")
    refused = [token for token, status in sent if status != 200]
    if world.known:
        yield Check("no ended token is sent", not refused, f"upstream saw {sent}")
    else:
        yield Check("the ended token is refused upstream", bool(refused) and set(refused) == {tokens[0]},
                    f"upstream saw {sent}")
    ledger = world.ledger()
    counts = {name: ledger[name] for name in ("exchanges", "reuses", "graces", "unknown")}
    wanted = {"exchanges": 1, "reuses": 0, "graces": 0, "unknown": 0}
    yield Check("the token is renewed once", counts == wanted, str(counts))
    decisions = world.decisions()
    statuses = {decision["status"] for decision in decisions}
    yield Check("the client sees no refusal", statuses == {200}, json.dumps(decisions, indent=1))
    # Its credentials are looked for everywhere, as those of every case.
    world.note_new_tokens()


def endings(name: str, provider: str, drive: Callable[[World], Transcript], tool: tuple[str, dict]) -> list[Case]:
    """A client's prompt, through both ends that a token can have."""

    def prompt(world: EndingWorld) -> Transcript:
        world.end_in_the_middle()
        return drive(world)

    return [Case(f"{name}-{ending}", Pool(provider, (ONLY,)), prompt, notices_nothing,
                 world=partial(EndingWorld, tool=tool, known=known))
            for ending, known in (("token-expires", True), ("token-refused", False))]
