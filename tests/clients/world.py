"""One client's world: a fake upstream with a few accounts, rota in front of it, a home of its own.

Nothing is shared between two worlds, and nothing outside the world's directory is read or written.
"""

import contextlib
import json
import os
import secrets
import shutil
import subprocess
import time
import urllib.request
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from tap import Tap

# What the fresh account answers, and in how many pieces. Not ASCII, so that bytes and characters differ.
ANSWER = "alpha béta 漢字 delta."
FIRST_PIECE = "alpha"
PIECES = 4
SPENT = "spent"
FRESH = "fresh"


@dataclass(frozen=True)
class Spent:
    """How a provider says with a 429 that nothing is left."""

    # The recorded reply, by its name in the fake's catalogue.
    reply: str
    # What rota makes of it, as logs, metrics, bodies and `rota why` spell it.
    reason: str


NOTHING_LEFT = {
    "anthropic": Spent("claude_five_hour_rejected", "quota-exhausted"),
    "codex": Spent("usage_limit_reached", "quota-exhausted"),
    # Prepaid: there is no window that ends, somebody has to pay.
    "openai": Spent("insufficient_quota", "payment-required"),
}
# Where a conversation begins, and where it may go.
OWNER = "owner"
OTHERS = ("second", "third")
GATE = "middle-of-the-reply"
START_SECONDS = 30
CLIENT_SECONDS = 120


@dataclass(frozen=True)
class Pool:
    """A provider's accounts, and how they behave."""

    provider: str
    # In the order in which they are added, which is the order in which they are asked.
    aliases: tuple[str, ...] = (SPENT, FRESH)
    # More of the fake's script, beside its accounts and its answer.
    script: dict = field(default_factory=dict)
    # By alias: requests that are served before the account's limit is reached.
    quotas: dict[str, int] = field(default_factory=dict)
    # What goes wrong from the beginning, in the fake's words.
    faults: tuple[dict, ...] = ()
    # What the provider's preset is changed by, in TOML; see docs/PROVIDERS.md.
    changes: str = ""
    # Seconds after which a client is ended that does not end by itself.
    patience: int = CLIENT_SECONDS


def spent_and_fresh(provider: str) -> Pool:
    """The first account refuses everything for want of quota, the second one serves."""
    return Pool(provider, faults=({"when": {"account": SPENT}, "do": [{"named": NOTHING_LEFT[provider].reply}]},))


class Broken(Exception):
    """The world could not be built: not a finding about a client."""


@dataclass
class Program:
    """A server under test, with what it printed."""

    name: str
    process: subprocess.Popen
    log: Path

    def stop(self) -> int:
        """Asks it to end, and insists after ten seconds. The exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@dataclass
class World:
    """What a client is driven in."""

    pool: Pool
    home: Path
    rota_binary: Path
    fake_binary: Path
    # Each is unique to this world, so that finding one anywhere says where it came from.
    client_key: str = field(default_factory=lambda: "client-canary-" + secrets.token_hex(12))
    keys: dict[str, str] = field(default_factory=dict)
    programs: list[Program] = field(default_factory=list)
    proxy: str = ""
    admin: str = ""
    upstream: str = ""
    # Between client and rota, where a client is told so.
    tap: Tap = field(default_factory=Tap)
    # Requests that the upstream has seen before the client began.
    before: int = 0

    def __enter__(self) -> "World":
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        self.keys = {alias: f"pool-canary-{alias}-{secrets.token_hex(12)}" for alias in self.pool.aliases}
        try:
            self._start_fake()
            self._configure()
            self._add_accounts()
            self._start_rota()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.tap.close()
        for program in reversed(self.programs):
            program.stop()

    def environment(self, **extra: str) -> dict[str, str]:
        """An environment that knows this world only: no proxy, no credential and no home of the user's."""
        return {
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "TMPDIR": str(self._directory("tmp")),
            "XDG_CACHE_HOME": str(self._directory("cache")),
            "XDG_CONFIG_HOME": str(self._directory("config")),
            "XDG_DATA_HOME": str(self._directory("data")),
            "XDG_RUNTIME_DIR": str(self._directory("runtime")),
            "XDG_STATE_HOME": str(self._directory("state")),
            **extra,
        }

    def write(self, path: str, text: str) -> Path:
        """A file of this world that nobody else may read."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(text)
        return file

    def rota(self, *arguments: str) -> str:
        """What a rota command prints."""
        done = subprocess.run([str(self.rota_binary), *arguments], env=self.environment(), stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise Broken(f"rota {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    @property
    def provider(self) -> str:
        """Whose accounts these are."""
        return self.pool.provider

    def restart_rota(self) -> None:
        """Stops rota as a service manager does, and starts it anew on the same store."""
        rota = self.programs.pop()
        if (code := rota.stop()) != 0:
            raise Broken(f"rota ended with {code}:\n{rota.log.read_text()}")
        (self.home / "server.json").unlink(missing_ok=True)
        self._start_rota()

    def ask(self, path: str, body: dict) -> None:
        """One request of somebody else's, who has no session: the next new one goes to another account."""
        fetch(f"http://{self.proxy}{path}", json.dumps(body).encode(), {"anthropic-version": "2023-06-01"})
        self.before = len(json.loads(fetch(f"{self.upstream}/__fake/requests"))["requests"])

    def decisions(self, most: int = 200) -> list[dict]:
        """The latest decisions of this rota, the earliest first."""
        found = json.loads(self.rota("why", "--latest", str(most), "--json"))["decisions"]
        return sorted(found, key=lambda decision: decision["at"])

    @property
    def store(self) -> Path:
        """Where rota keeps the pool's credentials: the one place they may be found in."""
        return self.home / "state" / "rota"

    @property
    def script(self) -> Path:
        """What the fake upstream was told, credentials included."""
        return self.home / "fake.json"

    def metrics(self) -> str:
        """rota's metrics page."""
        return fetch(f"http://{self.admin}/metrics").decode()

    def upstream_requests(self) -> list[dict]:
        """The recorder of the fake upstream: every request of the client's that it saw, in order."""
        return json.loads(fetch(f"{self.upstream}/__fake/requests"))["requests"][self.before:]

    def assertions(self) -> dict:
        """What the fake noted of accounts and conversations."""
        return json.loads(fetch(f"{self.upstream}/__fake/assertions"))

    def upstream_saw(self, text: str) -> bool:
        """Whether any request, head or body, held this text."""
        return json.loads(self._tell("saw", {"text": text}))["saw"]

    def hold_replies(self, after_events: int) -> None:
        """Lets the upstream send so many events of each stream, and stop there until `release_replies`."""
        self._tell("faults", {"when": {"account": FRESH}, "do": [{"stall_after": {"events": after_events, "gate": GATE}}]})

    def release_replies(self) -> None:
        """Lets the upstream go on."""
        self._tell("gates/release", {"name": GATE})

    def _tell(self, endpoint: str, body: dict) -> bytes:
        """Uses the control API of the fake."""
        return fetch(f"{self.upstream}/__fake/{endpoint}", json.dumps(body).encode())

    def _directory(self, name: str) -> Path:
        directory = self.home / name
        directory.mkdir(mode=0o700, exist_ok=True)
        return directory

    def _write_script(self) -> None:
        """The accounts in the fake's words."""
        accounts = []
        for alias, key in self.keys.items():
            login = self.provider == "codex"
            account = {"id": alias} | ({"access_tokens": [{"token": key}]} if login else {"api_keys": [key]})
            if (quota := self.pool.quotas.get(alias)) is not None:
                account["quota"] = {"limit": quota, "left": quota}
            accounts.append(account)
        script = {"text": ANSWER, "deltas": PIECES, "accounts": accounts} | self.pool.script
        self.write(self.script.name, json.dumps(script))

    def _configure(self) -> None:
        """Sends every provider's requests to the fake. The ports are whichever are free."""
        text = 'listen = "127.0.0.1:0"\nadmin_listen = "127.0.0.1:0"\n'
        text += f'allowed_hosts = ["{self.tap.address}"]\n[probe]\nevery = "0s"\n'
        for provider in ("anthropic", "codex", "openai"):
            text += f'\n[providers.{provider}]\n' + self._provider_settings(provider)
        self.write("config/rota/rota.toml", text)
        if self.pool.changes:
            head = f'id = "{self.provider}"\nextends = "{self.provider}"\n'
            self.write(f"config/rota/providers/{self.provider}.toml", head + self.pool.changes)

    def _provider_settings(self, _: str) -> str:
        return f'origin = "{self.upstream}"\n'

    def _add_accounts(self) -> None:
        for alias, key in self.keys.items():
            if self.provider == "codex":
                expires = datetime.now(timezone.utc) + timedelta(days=7)
                credential = {"kind": "oauth", "accessToken": key, "refreshToken": f"{key}-refresh",
                              "accountId": f"org-{alias}", "expiresAt": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}
                file, option = self.write(f"{alias}.json", json.dumps(credential)), "--credential-file"
            else:
                file, option = self.write(f"{alias}.key", key + "\n"), "--key-file"
            self.rota("accounts", "add", alias, "--provider", self.provider, option, str(file))
            file.unlink()

    def _start_fake(self) -> None:
        self._write_script()
        fake = self._spawn("fake", [str(self.fake_binary), "--listen", "127.0.0.1:0", "--script", str(self.script)])
        self.upstream = self._wait_for(fake, fake.log)["origin"]
        for fault in self.pool.faults:
            self._tell("faults", fault)

    def _start_rota(self) -> None:
        info = self.home / "server.json"
        rota = self._spawn("rota", [str(self.rota_binary), "serve", "--server-info", str(info)])
        server = self._wait_for(rota, info)
        self.proxy, self.admin = server["proxy"], server["admin"]
        self.tap.aim(self.proxy)

    def _spawn(self, name: str, command: list[str]) -> Program:
        log = self.home / f"{name}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(command, env=self.environment(), stdin=subprocess.DEVNULL,
                                       stdout=output, stderr=subprocess.STDOUT)
        program = Program(name, process, log)
        self.programs.append(program)
        return program

    def _wait_for(self, program: Program, file: Path) -> dict:
        """The JSON object on a file's first line, as soon as it is whole."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError, IndexError):
                return json.loads(file.read_text().splitlines()[0])
            if program.process.poll() is not None:
                break
            time.sleep(0.02)
        raise Broken(f"{program.name} did not start:\n{program.log.read_text()}")


def fetch(url: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> bytes:
    """GET, or POST of JSON where there is a body. Never through a proxy of the environment."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    kind = {} if body is None else {"content-type": "application/json"}
    try:
        with opener.open(urllib.request.Request(url, body, kind | (headers or {})), timeout=10) as reply:
            return reply.read()
    except OSError as why:
        raise Broken(f"{url}: {why}") from None
